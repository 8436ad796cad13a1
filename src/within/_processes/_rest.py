"""How long to wait for the rest of the output once the child has exited (P6)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._activity import Activity
    from ._plan import Stop
    from ._platform import Child, Pump

# The shortest time between two looks at the processes, in seconds.
_NEXT_LOOK = 0.01


class Rest:
    """The time that is given to the processes that a child has left behind.

    ``exec > >(tee log)`` starts a helper that keeps writing for some milliseconds after
    the child's exit; ``sleep 60 &`` holds the same pipe and never writes. Silence tells
    them apart. It is measured in real time, whatever the loop's clock does, because the
    helper works in real time too.
    """

    def __init__(self, child: Child, plan: Stop) -> None:
        self.has_begun: bool = False
        self._child = child
        self._pause = plan.pause
        self._linger = plan.linger
        self._silent_at = math.inf
        self._over_at = math.inf
        # The last look at the processes, if there was one since the last output, and the
        # CPU seconds that they have used since then.
        self._last: dict[int, Activity] | None = None
        self._used = 0.0

    def begin(self, most: float = math.inf) -> None:
        """The child has exited. ``most`` may be a shorter bound than ``Stop.linger``."""
        if not self.has_begun:
            self.has_begun = True
            self._over_at = time.monotonic() + min(self._linger, most)
            self.note_output()

    def child_has_exited(self, pump: Pump) -> bool:
        """Whether the child has exited; if not, have ``pump`` end its waits then."""
        if self._child.exit_fd < 0 or self._child.has_exited():  # or was left to itself
            pump.unwatch()
            return True
        pump.watch(self._child.exit_fd)
        return False

    def note_output(self) -> None:
        """More output has arrived."""
        self._last = None

    def end(self) -> None:
        """Stop waiting for it."""
        self._over_at = -math.inf

    def left(self) -> float:
        """How many seconds to go on waiting in silence; 0 when the time is over."""
        now = time.monotonic()
        if self._last is None:
            self._last, self._used = self._look(), 0.0
            self._silent_at = now + self._pause
        elif self._silent_at <= now < self._over_at:
            self._silent_at = now + self._more(self._last)
        return max(0.0, min(self._silent_at, self._over_at) - now)

    def _more(self, before: dict[int, Activity]) -> float:
        """How many more seconds the processes get that the child has left behind.

        They get another ``pause`` while one of them waits for a disk, or still has
        output of the child to process, as a helper has. A background job, busy or not,
        gets only one pause. But on a busy machine, a pause can pass before the job is
        scheduled. So if a process wants the CPU, only the CPU time that it has used
        counts.
        """
        self._last = now = self._look()
        used = sum(
            a.used - (before[pid].used if pid in before else 0)
            for pid, a in now.items()
        )
        self._used += used
        states = {a.state for a in now.values()}
        if b"D" in states or self._is_read():
            return max(self._pause, _NEXT_LOOK)
        if (used or b"R" in states) and self._used < self._pause:
            return max(self._pause - self._used, _NEXT_LOOK)
        return 0

    def _is_read(self) -> bool:
        try:
            return self._child.has_reader()
        except OSError:  # out of descriptors
            return False

    def _look(self) -> dict[int, Activity]:
        try:
            return self._child.activity()
        except OSError:
            return {}
