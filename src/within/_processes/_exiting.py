"""The moment between the end of a child's output and its exit."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ._platform import Pump, is_running
from ._pump import limited

if TYPE_CHECKING:
    from ._plan import Stop
    from ._platform import Child


class Exiting:
    """Waits for the exit of a child that has closed its output, for a moment.

    A child closes its files shortly before its exit can be noticed, so without this its
    ``returncode`` would sometimes be known at the end of its output and sometimes not.
    But a child may also close its output and run on. The time is the same as that for
    the output after the exit (P6): it ends after ``Stop.pause`` seconds in which the
    child does nothing, and after ``Stop.linger`` seconds in any case.
    """

    def __init__(self, child: Child, plan: Stop) -> None:
        self._child = child
        self._pause = plan.pause
        self._linger = plan.linger
        # Counted from the first call: a caller that is cancelled again and again must
        # not start the time anew.
        self._silent_at = self._over_at = math.inf

    async def known(self) -> None:
        """Wait until it has exited, or the time is over."""
        child = self._child
        if not child.is_ours() or child.has_exited():
            return
        if self._over_at == math.inf:
            self._over_at = time.monotonic() + self._linger
            self._silent_at = time.monotonic() + self._pause
        with suppress(OSError), Pump() as pump:  # out of descriptors
            pump.watch(child.exit_fd)
            while not child.has_exited() and (seconds := self._left()):
                with limited(seconds, pump):
                    await pump.until(child.has_exited)

    def _left(self) -> float:
        now = time.monotonic()
        # On a busy machine, it may be silent because it has not been scheduled.
        if self._silent_at <= now < self._over_at and is_running(self._child.pid):
            self._silent_at = now + self._pause
        return max(0.0, min(self._silent_at, self._over_at) - now)
