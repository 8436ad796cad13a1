"""The trio backend: a block is a cancel scope, and trio does the rest.

Only modules of this package named ``_trio…`` import trio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import trio

if TYPE_CHECKING:
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
            # In this way trio reads the clock once, and in any other twice.
            scope = trio.CancelScope(relative_deadline=delay)
        else:
            scope = trio.CancelScope(deadline=trio.current_time() + delay)
        if block.is_shield:
            scope.shield = True
        if block.has_expired:  # T12: cancelled before it was entered
            scope.cancel()
        block.cancel_scope = scope
        scope.__enter__()
        block.when = scope.deadline

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        scope: trio.CancelScope = block.cancel_scope
        left: BaseException | None = None
        try:
            caught = scope.__exit__(None if exc is None else type(exc), exc, None)
        except BaseException as error:  # noqa: BLE001
            if str(error).startswith("Cancel scope stack corrupted"):
                raise self._left_wrongly(block, error) from exc
            # The rest of a group, without its cancellations.
            caught, left = scope.cancelled_caught, error
        block.cancel_scope = None
        if scope.cancel_called:
            block.has_expired = True
        return left if caught else exc

    def abandon(self, block: Block) -> None:
        scope: trio.CancelScope | None = block.cancel_scope
        block.cancel_scope = None
        if scope is not None:
            try:
                scope.__exit__(None, None, None)
            except RuntimeError:  # it was not open, or it is open in another task
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

    def _left_wrongly(self, block: Block, error: BaseException) -> RuntimeError:
        """T13: our own words for what trio says of a corrupted stack of scopes."""
        if "still within its child" in str(error):
            return RuntimeError(
                f"{block!r} was left before a block that was entered inside it: leave "
                "blocks in the reverse order of entering them"
            )
        return RuntimeError(
            f"{block!r} was left in another task than it was entered in: enter and "
            "leave it in the same task (a generator that yields inside the block does "
            "not)"
        )


class _RealTime:
    """Holds a clock that jumps while a child is awaited, which takes real time."""

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
    """Replaces trio's mark where sniffio no longer carries it."""

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

_backend = TrioBackend()


def running_backend() -> TrioBackend | None:
    return _backend if _mark.name == "trio" else None


def running_frame() -> FrameType | None:
    try:
        frame: FrameType | None = trio.lowlevel.current_task().coro.cr_frame
    except RuntimeError:  # trio runs, but none of its tasks does
        return None
    return frame
