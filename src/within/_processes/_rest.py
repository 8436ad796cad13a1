"""How long to wait for the rest of the output once the child has exited (P6)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._child import Child
    from ._plan import Stop
    from ._pump import Pump


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

    def begin(self, most: float = math.inf) -> None:
        """The exit is known. ``most`` is a shorter bound than ``Stop.linger``."""
        if not self.has_begun:
            self.has_begun = True
            self._over_at = time.monotonic() + min(self._linger, most)
            self.heard()

    def child_has_exited(self, pump: Pump) -> bool:
        """Whether it has; if not, ``pump`` ends its waits when it does."""
        if self._child.has_exited():
            pump.unwatch()
            return True
        pump.watch(self._child.exit_fd)
        return False

    def heard(self) -> None:
        """More of the output came."""
        self._silent_at = time.monotonic() + self._pause

    def left(self) -> float:
        """Seconds that may still be waited in silence; 0 when it is over."""
        now = time.monotonic()
        if self._silent_at <= now < self._over_at and self._child.is_at_work():
            self.heard()  # on a busy machine, it may be silent because it had no turn
        return max(0.0, min(self._silent_at, self._over_at) - now)
