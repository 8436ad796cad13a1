"""The moment between the end of a child's output and its exit."""

from __future__ import annotations

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
        self._is_over = False

    async def known(self) -> None:
        """Wait until it has exited, or the time is over; does so once."""
        child = self._child
        if self._is_over or not child.is_ours() or child.has_exited():
            return
        now = time.monotonic()
        over_at, silent_at = now + self._linger, now + self._pause
        with suppress(OSError), Pump() as pump:  # out of descriptors
            pump.watch(child.exit_fd)
            while not child.has_exited() and now < over_at:
                if now >= silent_at:
                    if not is_running(child.pid):
                        break
                    silent_at = now + self._pause
                with limited(min(silent_at, over_at) - now, pump):
                    await pump.until(child.has_exited)
                now = time.monotonic()
        self._is_over = True
