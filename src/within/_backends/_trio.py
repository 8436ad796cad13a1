"""The trio backend: a block is a cancel scope, and trio does the rest.

Only modules of this package named ``_trio…`` import trio.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import trio

from .._errors import members

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from .._core import Block


class TrioBackend:
    """Stateless: trio keeps everything in the run and in the scope."""

    __slots__ = ()

    name = "trio"
    cancelled: type[BaseException] = trio.Cancelled

    def is_running_here(self) -> bool:
        return trio.lowlevel.in_trio_run()

    # -- the clock ---------------------------------------------------------

    def current_time(self) -> float:
        return trio.current_time()

    def has_virtual_time(self) -> bool:
        return hasattr(trio.lowlevel.current_clock(), "autojump_threshold")

    # -- blocks ------------------------------------------------------------

    def enter(self, block: Block) -> None:
        delay = block.delay
        if delay is None:
            scope = trio.CancelScope(deadline=block.when)
        elif delay >= 0:
            # Any other way of doing this makes trio read the clock twice.
            scope = trio.CancelScope(relative_deadline=delay)
        else:
            scope = trio.CancelScope(deadline=trio.current_time() + delay)
        if block.is_shield:
            scope.shield = True
        if block.has_expired:  # T12: cancelled before it was entered
            scope.cancel()
        block.cancel_scope = scope
        try:
            scope.__enter__()
        except RuntimeError as error:
            self._check_task(block, error)
            raise
        block.when = scope.deadline

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        scope: Any = block.cancel_scope
        running: Any = None
        try:
            running = _current_task()
            in_place = scope._cancel_status is running._cancel_status
        except (AttributeError, RuntimeError):  # trio has moved it, or no task runs
            in_place = True
        if not in_place and scope._cancel_status is not None:
            self._take_out(block, scope, running, exc)
            return exc
        try:
            caught = scope.__exit__(None if exc is None else type(exc), exc, None)
        except BaseException as error:
            if not (scope.cancelled_caught or members(error)):
                raise  # an exception out of a signal handler (T23)
            self._note_end(block, scope)
            # The rest of a group, without the cancellations in it.
            return error if scope.cancelled_caught else exc
        block.cancel_scope = None
        # Once a scope has been left, its `cancel_called` only reads this attribute. To
        # read it here is faster.
        if getattr(scope, "_cancel_called", True) and scope.cancel_called:
            block.has_expired = True
        return None if caught else exc

    def _note_end(self, block: Block, scope: trio.CancelScope) -> None:
        block.cancel_scope = None
        if scope.cancel_called:
            block.has_expired = True

    def abandon(self, block: Block) -> None:
        scope: trio.CancelScope | None = block.cancel_scope
        block.cancel_scope = None
        if scope is not None:
            try:
                scope.__exit__(None, None, None)
            except RuntimeError:  # it was not open
                with suppress(RuntimeError):  # it has no deadline yet
                    scope.deadline = math.inf

    def reschedule(self, block: Block, deadline: float) -> bool:
        scope: trio.CancelScope = block.cancel_scope
        # While the deadline is in the future, `cancel_called` tells whether the loop
        # has noticed the old one. Otherwise asking would make it notice (T11).
        scope.deadline = math.inf
        if scope.cancel_called:
            return False
        scope.deadline = block.when = deadline
        if deadline <= trio.current_time():
            self.cancel(block)  # T5: expired at once, as at entry
        return True

    def cancel(self, block: Block) -> None:
        block.has_expired = True
        block.cancel_scope.cancel()

    def effective_deadline(self) -> float:
        return trio.current_effective_deadline()

    # -- signals and threads -----------------------------------------------

    def wake_on_signals(self) -> None:
        pass  # trio.run() sees to it

    def caller_from_threads(self) -> Callable[[Callable[[], object]], object]:
        return trio.lowlevel.current_trio_token().run_sync_soon

    async def wait_for_call(
        self, start: Callable[[Callable[[], None]], object]
    ) -> None:
        token = trio.lowlevel.current_trio_token()
        woken = trio.Event()
        start(lambda: token.run_sync_soon(woken.set, idempotent=True))
        with _RealTime():
            await woken.wait()

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

    # -- behind the blocks -------------------------------------------------

    def _check_task(self, block: Block, error: RuntimeError) -> None:
        """Raise a clearer error than trio's own if no task is running."""
        try:
            trio.lowlevel.current_task()
        except RuntimeError:
            raise RuntimeError(
                f"{block!r} was entered outside a task (in an instrument, or in a "
                "callback of the host loop?): enter it in a task"
            ) from error

    def _take_out(
        self, block: Block, scope: Any, running: Any, exc: BaseException | None
    ) -> None:
        """T13: take a scope that is not the innermost one out of trio's tree.

        trio would close all scopes inside it, or report that its own state is corrupt.
        What is inside it moves to its parent. This reads private state of trio; where a
        release has moved that, we do not get here, and trio itself reports the error.
        """
        status: Any = scope._cancel_status
        is_here = status.encloses(running._cancel_status)
        nursery: Any = running.parent_nursery
        was_started_inside = status.encloses(nursery._cancel_status)
        with scope._might_change_registered_deadline():
            scope._cancel_status = None
        for inner in list(status.children):
            inner.parent = status.parent
        for task in list(status.tasks):
            task._activate_cancel_status(status.parent)
        status.close()
        self._note_end(block, scope)
        if isinstance(exc, GeneratorExit):
            return  # its coroutine or generator was dropped: there is nobody to tell
        if is_here and not was_started_inside:
            if exc is not None:
                return  # it says more than the wrong order
            raise RuntimeError(
                f"{block!r} was left before a block that was entered inside it: leave "
                "blocks in the reverse order of entering them"
            )
        raise RuntimeError(
            f"{block!r} was left in another task, not in the one that entered it: enter "
            "and leave it in the same task (a generator that yields inside the block "
            "may be closed in another one)"
        ) from exc


# Bound here, because every exit calls it.
_current_task = trio.lowlevel.current_task


class _RealTime:
    """Stops a clock that jumps, while a child is awaited: that takes real time."""

    # The number of waiting tasks, and the threshold to restore after the last one.
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


class _InTrio:
    """Stands in for trio's mark where sniffio no longer carries it."""

    @property
    def name(self) -> str | None:
        return "trio" if trio.lowlevel.in_trio_run() else None


# Its `name` is "trio" while trio runs: trio sets it for the length of a run and of each
# guest tick, and trio-asyncio switches it for each callback. (in_trio_run() would do
# without sniffio, but it takes 0.5 µs to say no.)
try:
    from sniffio import thread_local as _mark
except ImportError:
    _mark = cast("Any", _InTrio())


class _Trio:
    """Stands for each loop of trio: one backend serves all of them."""

    _within_backend = TrioBackend()


def running_loop() -> type[_Trio] | None:
    return _Trio if _mark.name == "trio" else None


def backend_of(loop: type[_Trio]) -> TrioBackend:
    return loop._within_backend  # pyright: ignore[reportPrivateUsage]


def running_frame() -> FrameType | None:
    try:
        frame: FrameType | None = trio.lowlevel.current_task().coro.cr_frame
    except RuntimeError:  # trio runs, but none of its tasks does
        return None
    return frame
