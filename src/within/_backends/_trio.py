"""The trio backend: a block is a cancel scope, and trio does the rest.

Only the modules of this folder named ``_trio…`` import trio.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from sniffio import thread_local

from .._errors import explain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from .._timeouts import Timeout

T = TypeVar("T")


class TrioBackend:
    """Stateless: trio keeps everything in the run and in the scope."""

    __slots__ = ()

    name = "trio"
    cancelled: type[BaseException] = trio.Cancelled

    def current_time(self) -> float:
        return trio.current_time()

    def has_virtual_time(self) -> bool:
        return hasattr(trio.lowlevel.current_clock(), "autojump_threshold")

    # -- scopes ------------------------------------------------------------

    def enter(self, timeout: Timeout) -> None:
        delay = timeout._delay
        if delay is None:
            scope = trio.CancelScope(deadline=timeout._when)
        elif delay >= 0:
            # trio reads the clock once in this way, and twice in any other.
            scope = trio.CancelScope(relative_deadline=delay)
        else:
            scope = trio.CancelScope(deadline=trio.current_time() + delay)
        if timeout._shield:
            scope.shield = True
        if timeout._expired:  # T12: cancelled before it was entered
            scope.cancel()
        scope.__enter__()
        timeout._when = scope.deadline
        timeout._scope = scope

    def exit(self, timeout: Timeout, exc: BaseException | None) -> bool:
        scope: trio.CancelScope = timeout._scope
        timeout._scope = None
        try:
            caught = scope.__exit__(None if exc is None else type(exc), exc, None)
        except BaseException as rest:
            # Misnesting, or what is left of a group once trio has taken the
            # cancellations out of it.
            timeout._expired = scope.cancel_called
            if timeout._expired:
                caught = scope.cancelled_caught
                explain(rest, timeout, trio.Cancelled, certain=caught)
            raise
        if scope.cancel_called:
            timeout._expired = True
        # With nothing raised in the block, trio answers True as well.
        return exc is not None and caught

    def reschedule(self, timeout: Timeout, deadline: float) -> bool:
        self._check_run(timeout)
        scope: trio.CancelScope = timeout._scope
        # While the deadline lies ahead, `cancel_called` tells whether the loop
        # has noticed the old one; otherwise asking would make it notice (T11).
        scope.deadline = math.inf
        if scope.cancel_called:
            return False
        timeout._delay = None
        scope.deadline = timeout._when = deadline
        if deadline <= trio.current_time():
            self.cancel(timeout)  # T5: expired at once, as at entry
        return True

    def cancel(self, timeout: Timeout) -> None:
        self._check_run(timeout)
        timeout._expired = True
        timeout._scope.cancel()

    def effective_deadline(self) -> float:
        return trio.current_effective_deadline()

    # -- descriptors -------------------------------------------------------

    async def wait_readable(self, fd: int) -> None:
        with _RealTime():
            try:
                await trio.lowlevel.wait_readable(fd)
            except trio.ClosedResourceError:
                pass

    async def wait_writable(self, fd: int) -> None:
        with _RealTime():
            try:
                await trio.lowlevel.wait_writable(fd)
            except trio.ClosedResourceError:
                pass

    def notify_closing(self, fd: int) -> None:
        trio.lowlevel.notify_closing(fd)

    # -- clean-up ----------------------------------------------------------

    async def finish(self, attempt: Callable[[], Awaitable[T]]) -> T:
        with trio.CancelScope(shield=True):
            return await attempt()
        raise AssertionError("a shield without a deadline does not end its block")

    # -- behind the scopes -------------------------------------------------

    def _check_run(self, timeout: Timeout) -> None:
        if not trio.lowlevel.in_trio_run():
            raise RuntimeError(
                f"{timeout!r} can be changed only on the loop that it runs on: from "
                "another thread, use trio.from_thread.run_sync()"
            )


class _RealTime:
    """While a child is waited for, a clock that jumps must not: it is at work."""

    # How many wait, and what the clock is to go back to when none does.
    _held: trio.lowlevel.RunVar[tuple[int, float]] = trio.lowlevel.RunVar(
        "within", default=(0, math.inf)
    )

    def __enter__(self) -> None:
        clock: Any = trio.lowlevel.current_clock()
        if (threshold := getattr(clock, "autojump_threshold", None)) is not None:
            waiting, before = self._held.get()
            self._held.set((waiting + 1, before if waiting else threshold))
            clock.autojump_threshold = math.inf

    def __exit__(self, *exc: object) -> None:
        clock: Any = trio.lowlevel.current_clock()
        if getattr(clock, "autojump_threshold", None) is not None:
            waiting, before = self._held.get()
            self._held.set((waiting - 1, before))
            if waiting == 1:
                clock.autojump_threshold = before


backend = TrioBackend()

# Its name is "trio" where trio runs: trio sets it for the length of a run and of each
# guest tick, and trio-asyncio changes it for each callback.
# `trio.lowlevel.in_trio_task()` would do without, but costs 0.5 µs to answer no.
mark = thread_local


def is_nearer(other: FrameType | None) -> bool:
    """False if the coroutine of ``other`` runs inside the current trio task."""
    if other is None:
        return True
    try:
        outer = trio.lowlevel.current_task().coro.cr_frame
    except RuntimeError:  # trio runs, but none of its tasks is running
        return True
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame is other:
            return False
        if frame is outer:
            return True
        frame = frame.f_back
    return True
