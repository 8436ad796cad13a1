"""What this package needs of an event loop: the whole of it.

One module per loop fulfils :class:`Backend`; each has the same members in the
same order, so that two can be read side by side. Nothing outside this folder
knows which loop is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .._timeouts import Timeout

T = TypeVar("T")


class Backend(Protocol):
    """One running event loop."""

    @property
    def name(self) -> str:
        """``"asyncio"`` (uvloop too) or ``"trio"``."""
        ...

    @property
    def cancelled(self) -> type[BaseException]:
        """What the loop raises in a task that it cancels."""
        ...

    def current_time(self) -> float:
        """The loop's own clock, in seconds."""
        ...

    def has_virtual_time(self) -> bool:
        """Whether that clock jumps, and stands while a descriptor is waited for."""
        ...

    # -- scopes ------------------------------------------------------------

    def enter(self, timeout: Timeout) -> None:
        """Open the block of ``timeout`` in the running task."""
        ...

    def exit(self, timeout: Timeout, exc: BaseException | None) -> bool:
        """Close the block; true if its own cancellation is what ended it."""
        ...

    def reschedule(self, timeout: Timeout, deadline: float) -> bool:
        """Move the deadline of an open block; false if it had expired."""
        ...

    def cancel(self, timeout: Timeout) -> None:
        """Expire an open block now."""
        ...

    def effective_deadline(self) -> float:
        """The nearest deadline in force for the running task (T17)."""
        ...

    # -- descriptors -------------------------------------------------------

    async def wait_readable(self, fd: int) -> None:
        """Return once ``fd`` is readable, or is about to be closed."""
        ...

    async def wait_writable(self, fd: int) -> None:
        """Return once ``fd`` is writable, or is about to be closed."""
        ...

    def notify_closing(self, fd: int) -> None:
        """Wake who waits for ``fd``: it is closed next."""
        ...

    # -- clean-up ----------------------------------------------------------

    async def finish(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await ``attempt()`` to its end, whatever cancels the caller meanwhile.

        Where the loop cannot hold a cancellation off, ``attempt`` is called
        again after each and so must be able to take up where it was; the
        cancellation is raised when it is done.
        """
        ...
