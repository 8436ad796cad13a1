"""The part of the virtual clock that all loops share.

`_asyncio_loop` and `_trio_clock` make a loop follow it.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from .._seconds import as_seconds
from ._deadlock import BLOCKED, POLLING, report
from ._outside import Outside
from ._polling import Passes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from .._seconds import Seconds
    from ._deadlock import Deadlock

# How often a guarded call is cancelled again, if it swallows the cancellation or hangs
# in its clean-up.
_ATTEMPTS = 10


class VirtualClock:
    """The clock of a loop in virtual time, returned by :func:`virtual_clock`.

    It stands still while anything runs. Once every task is blocked, it goes straight
    to the next deadline.
    """

    def __init__(
        self, start: Seconds, running: Callable[[], VirtualClock | None]
    ) -> None:
        self._now = finite_start(start)
        self._running = running

    @property
    def now(self) -> float:
        """The time in seconds, the same as :func:`within.current_time` on this loop."""
        return self._now

    def advance(self, seconds: Seconds) -> None:
        """Let time pass while nothing else can run, as slow synchronous code would.

        Everything that falls due in between happens at the next suspension. To let
        other tasks run in the meantime, sleep instead.

        Args:
            seconds: How far to move the clock; a ``timedelta`` is accepted too.

        Raises:
            ValueError: If the number is negative or infinite, or if the clock would
                become infinite.
            RuntimeError: If the caller does not run on the loop of this clock.

        >>> import anyio, within
        >>> from within.testing import run, virtual_clock
        >>> async def main():
        ...     with within.move_on_after(5) as limit:
        ...         virtual_clock().advance(8)  # late, but done is done
        ...     return limit.expired, virtual_clock().now
        >>> run(main, backend="trio", virtual_time=True)
        (False, 8.0)
        """
        delta = as_seconds(seconds, "seconds", or_none=False)
        if delta < 0 or not self._now + delta < math.inf:
            raise ValueError(
                f"seconds is {seconds!r}: the clock only moves forwards, by a finite "
                "number of seconds"
            )
        if self._running() is not self:
            raise RuntimeError(
                "this clock belongs to a loop that is not running here: from one of "
                "its threads, use anyio.from_thread.run_sync(clock.advance, seconds)"
            )
        self._now += delta

    def __repr__(self) -> str:
        return f"<VirtualClock now={self._now!r}>"


def finite_start(start: Seconds) -> float:
    """Seconds at which a clock may start; errors name ``start``."""
    seconds = as_seconds(start, "start", or_none=False)
    if math.isinf(seconds):
        raise ValueError(f"start is {start!r}: give a finite number of seconds")
    return seconds


class _Guard:
    """A call that a deadlock ends."""

    def __init__(self, end: Callable[[], object]) -> None:
        self.end = end
        self.deadlock: Deadlock | None = None
        self.attempts = 0  # to end the call


class RunClock(VirtualClock):
    """A virtual clock with the methods that its loop needs.

    Args:
        start: What the clock shows at first, in seconds.
        running: Returns the clock of the loop that runs the caller.
    """

    def __init__(
        self, start: Seconds, running: Callable[[], VirtualClock | None]
    ) -> None:
        super().__init__(start, running)
        self.outside = Outside()
        # A loop may run many tests, and a test many examples, each with a guard.
        self._guard: _Guard | None = None
        self._was_guarded = False
        self.passes = Passes(self.outside)

    def move_to(self, when: float) -> None:
        """Move forwards to a deadline; never back."""
        self._now = max(self._now, when)

    @contextmanager
    def guard(self, end: Callable[[], object]) -> Generator[None]:
        """Raise :exc:`Deadlock` from this block; ``end`` cancels what runs in it."""
        around, guard = self._guard, _Guard(end)
        self._guard = guard
        self.passes.forget()  # a loop may run many tests at one instant
        try:
            yield
        except BaseException as exc:
            if guard.deadlock is None or _stops_the_program(exc):
                if _has_timed_out(exc):
                    exc.add_note(f"raised in virtual time, at {self._now:.12g} s")
                raise
            raise guard.deadlock from exc
        else:
            if guard.deadlock is not None:  # the call ignored that it was ended
                raise guard.deadlock
        finally:
            self._guard, self._was_guarded = around, True
            del guard  # it holds the error, whose traceback holds this frame

    def end_deadlock(
        self,
        tasks: Iterable[tuple[str, Any]],
        *,
        is_polling: bool = False,
        may_raise: bool = False,
    ) -> bool:
        """End the guarded call, because the program cannot go on.

        Args:
            tasks: Name and coroutine of each task.
            is_polling: A task polls; otherwise all are blocked.
            may_raise: Raise if no call is guarded now but one was before: tasks that
                it left behind keep the loop from closing.

        Returns:
            Whether a call is guarded, and has been told to end.

        Raises:
            Deadlock: If the guarded call does not end, however often it is told to.
        """
        guard, reason = self._guard, POLLING if is_polling else BLOCKED
        if guard is None:
            if may_raise and self._was_guarded:
                raise report(self._now, tasks, reason)
            return False
        guard.attempts += 1
        if guard.attempts > _ATTEMPTS:
            guard.deadlock = report(self._now, tasks, reason)
            raise guard.deadlock
        if guard.deadlock is None:
            guard.deadlock = report(self._now, tasks, reason)
        guard.end()
        return True


def _has_timed_out(exc: BaseException) -> bool:
    """Whether it is the error of a time limit, or a group that contains one."""
    if isinstance(exc, BaseExceptionGroup):
        return any(map(_has_timed_out, cast("Any", exc).exceptions))
    return isinstance(exc, TimeoutError) or type(exc).__name__ == "TooSlowError"


def _stops_the_program(exc: BaseException) -> bool:
    """Whether the exception is meant to end the whole program."""
    kinds = (KeyboardInterrupt, SystemExit)
    if isinstance(exc, BaseExceptionGroup):
        return cast("Any", exc).subgroup(kinds) is not None
    return isinstance(exc, kinds)
