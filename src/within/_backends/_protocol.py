"""What this package needs of an event loop, and what the module of a loop offers.

Each of these modules has the same names in the same order, so that two can be read side by side.
Nothing outside this folder knows which loop is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from .._core import Block


class Backend(Protocol):
    """One running event loop."""

    @property
    def name(self) -> str:
        """``"asyncio"`` (for uvloop too), ``"trio"``, or the name of a third party."""
        ...

    @property
    def cancelled(self) -> type[BaseException]:
        """The exception that the loop raises in a task that it cancels."""
        ...

    def is_running_here(self) -> bool:
        """Whether the caller runs on this loop: in its thread, while it is running."""
        ...

    # -- the clock ---------------------------------------------------------

    def current_time(self) -> float:
        """The time on the loop's own clock, in seconds."""
        ...

    def has_virtual_time(self) -> bool:
        """Whether that clock jumps, and stands still while a descriptor is awaited."""
        ...

    # -- blocks ------------------------------------------------------------

    def enter(self, block: Block) -> None:
        """Open ``block`` in the running task.

        Raises:
            RuntimeError: Outside a task.
        """
        ...

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        """Close ``block``, and take its own cancellation out of ``exc``.

        Returns:
            What is left to raise: ``exc`` itself if the block's deadline did not cause
            it, ``None`` if the block's cancellation was all there was, and the rest of
            a group if it was one of several exceptions.

        Raises:
            RuntimeError: In a task other than the one that entered it, or out of order.
        """
        ...

    def abandon(self, block: Block) -> None:
        """Close ``block`` if it is still open, after an interrupted enter or exit.

        Its deadline must not cancel anything from here on (T23).
        """
        ...

    def reschedule(self, block: Block, deadline: float) -> bool:
        """Move the deadline of an open block; false if it had expired already."""
        ...

    def cancel(self, block: Block) -> None:
        """Expire an open block now."""
        ...

    def effective_deadline(self) -> float:
        """The nearest deadline in force for the running task (T17)."""
        ...

    # -- signals and threads -----------------------------------------------

    def wake_on_signals(self) -> None:
        """From now on, a signal ends the loop's wait, so that Python runs its handler.

        Without that, a signal that arrives just before the wait is handled at the next
        event, whenever that is. Called in the main thread. (Not used on Windows.)
        """
        ...

    def caller_from_threads(self) -> Callable[[Callable[[], object]], object]:
        """A function with which another thread has this loop call a function soon.

        It raises ``RuntimeError`` once the loop is closed.
        """
        ...

    async def wait_for_call(
        self, start: Callable[[Callable[[], None]], object]
    ) -> None:
        """Call ``start(wake)``, and return once any thread has called ``wake()``.

        ``wake`` may be called any number of times, even before ``start`` returns. It
        raises ``RuntimeError`` if the loop is closed. (Only used on Windows, where
        there is no descriptor to wait for.)
        """
        ...

    # -- descriptors -------------------------------------------------------

    async def wait_readable(self, fd: int) -> None:
        """Return once ``fd`` is readable, or is about to be closed."""
        ...

    async def wait_writable(self, fd: int) -> None:
        """Return once ``fd`` is writable, or is about to be closed."""
        ...

    def notify_closing(self, fd: int) -> None:
        """Wake the tasks that wait for ``fd``, which is closed next."""
        ...


class LoopModule(Protocol):
    """What the module of a loop offers to the choice between the loops."""

    def running_loop(self) -> Any:
        """The loop that is running in this thread, if one is."""
        ...

    def backend_of(self, loop: Any) -> Backend:
        """The backend of a loop, made when it is first needed.

        It is kept in the attribute ``_within_backend`` of the loop, where the choice
        looks first.
        """
        ...

    def running_frame(self) -> FrameType | None:
        """The frame of the coroutine that the loop's current task runs, if any."""
        ...
