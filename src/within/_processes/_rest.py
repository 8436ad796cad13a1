"""How long to wait for the rest of the output once the child has exited (P6)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from ._platform import is_running

if TYPE_CHECKING:
    from ._plan import Stop
    from ._platform import Child, Pump


class Rest:
    """The time that is given to what a child has left behind.

    ``exec > >(tee log)`` makes a helper that writes on for some milliseconds after
    the child's exit; ``sleep 60 &`` holds the same pipe and never writes. Silence tells
    them apart. It is measured in real time, whatever the loop's clock does, because the
    helper works in real time too.
    """

    def __init__(self, child: Child, plan: Stop) -> None:
        self.has_begun = False
        self._child = child
        self._pause = plan.pause
        self._linger = plan.linger
        self._silent_at = math.inf
        self._over_at = math.inf
        self._work: dict[int, int] | None = None  # what it had done at the last look

    def begin(self, most: float = math.inf) -> None:
        """The exit is known. ``most`` is a shorter bound than ``Stop.linger``."""
        if not self.has_begun:
            self.has_begun = True
            self._over_at = time.monotonic() + min(self._linger, most)
            self.heard()

    def child_has_exited(self, pump: Pump) -> bool:
        """Whether it has; if not, ``pump`` ends its waits when it does."""
        if self._child.exit_fd < 0 or self._child.has_exited():  # or left to itself
            pump.unwatch()
            return True
        pump.watch(self._child.exit_fd)
        return False

    def heard(self) -> None:
        """More of the output came."""
        self._work = None

    def left(self) -> float:
        """Seconds that may still be waited in silence; 0 when it is over."""
        now = time.monotonic()
        if self._work is None or self._silent_at <= now < self._over_at:
            # It may be silent because it works, or because it has had no turn on a busy
            # machine. Of the processes of a pipe, each sleeps now and then; so what they
            # have done counts as well, not only the state of this moment.
            before, self._work = self._work, self._look()
            if before != self._work or any(map(is_running, self._work)):
                self._silent_at = now + self._pause
        return max(0.0, min(self._silent_at, self._over_at) - now)

    def _look(self) -> dict[int, int]:
        try:
            return self._child.work()
        except OSError:  # out of descriptors
            return {}
