"""The deadline of a block, which code on its loop may read and change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .._backends import current
from .._core import Block
from .._seconds import as_seconds

if TYPE_CHECKING:
    from typing import NoReturn

    from .._backends import Backend
    from .._seconds import Seconds


class NotOpen:
    """The state of a block that is not open, and so cannot be left (T13)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def exit(self, block: Block, exc: BaseException | None) -> NoReturn:
        raise RuntimeError(f"{block!r} is not open: it cannot be left")


CREATED = NotOpen("created")
EXITED = NotOpen("exited")

_NEVER = math.inf


class Deadline(Block):
    """The part of a :class:`within.Timeout` that does not concern entering and leaving."""

    # The types of Block's attributes once more, for `pyright --verifytypes`.
    delay: float | None
    when: float
    name: str | None
    limit: float | None
    was_cancelled: bool
    task: Any
    entry: list[Any] | None

    _caught = False

    def _begin(
        self, delay: Any, deadline: Any, shield: bool, level: bool, name: str | None
    ) -> None:
        kind: Any = delay.__class__  # T5: the usual arguments are recognised quickly
        if (kind is float and 0.0 <= delay < 1e9) or (
            kind is int and 0 <= delay < 10**9
        ):
            self.delay = delay
        else:
            self.delay = None if delay is None else as_seconds(delay, "delay")
        self.when = _NEVER if deadline is None else as_seconds(deadline, "deadline")
        # While the block is open, its state is the backend of the loop that it is open on.
        self._state: Backend | NotOpen = CREATED
        self.task = None
        if shield:
            self.is_shield = True
        if level:
            self.is_level_triggered = True
        if name is not None:
            self.name = name

    @property
    def _backend(self) -> Backend | None:
        """The backend of the loop on which the block is open."""
        state = self._state
        return None if isinstance(state, NotOpen) else state

    @property
    def deadline(self) -> float | None:
        """The deadline, on the clock that :func:`current_time` reads.

        ``None`` if there is no deadline, and also before entry if the block was given a
        delay, because a delay counts from entry. Assigning to this property is the same
        as calling :meth:`reschedule`.
        """
        return None if self.when == math.inf else self.when

    @deadline.setter
    def deadline(self, deadline: Seconds | None) -> None:
        self.reschedule(deadline)

    def reschedule(self, deadline: Seconds | None) -> None:
        """Move the deadline earlier or later, or remove it.

        Any code on the same loop may call this, before entry and until the block expires.
        If the deadline may be passing right now, check :attr:`expired` first. To write a
        keep-alive, use :meth:`restart`, which takes no argument.

        Args:
            deadline: A time on the clock that :func:`current_time` reads (not a delay),
                or ``None`` for no deadline.

        Raises:
            RuntimeError: If the block has expired or has been left, or if you call this
                from another thread.

        >>> import asyncio, within
        >>> async def main():
        ...     with within.timeout(5) as limit:
        ...         limit.reschedule(within.current_time() + 60)
        ...         print(round(limit.remaining()))
        >>> asyncio.run(main())
        60
        """
        when = math.inf if deadline is None else as_seconds(deadline, "deadline")
        if self.delay is not None:
            self.limit = self.delay
        self._move(when, None)

    def restart(self) -> None:
        """Make the whole delay start again from now, as a keep-alive does (T26).

        You may call this whenever you may call :meth:`reschedule`. Before entry it does
        nothing, because the delay counts from entry.

        Raises:
            RuntimeError: If the block was not given a delay, has expired, or has been
                left, or if you call this from another thread.

        >>> import asyncio, within
        >>> async def main():
        ...     with within.timeout(60, name="silence") as silence:
        ...         silence.restart()  # for each message that arrives
        ...         print(round(silence.remaining()))
        >>> asyncio.run(main())
        60
        """
        backend = self._backend
        if backend is not None:
            self._check_loop(backend)
        delay = self.limit if self.delay is None else self.delay
        if delay is None:
            raise RuntimeError(
                f"{self!r} has no delay that could start again: use "
                "reschedule(current_time() + seconds)"
            )
        if self._state is CREATED:
            self._move(math.inf, delay)
        else:
            self._move((backend or current()).current_time() + delay, delay)

    def _move(self, when: float, delay: float | None) -> None:
        """Move the deadline to ``when``; ``delay`` is the limit that messages name."""
        if self._state is EXITED:
            raise RuntimeError(f"{self!r} has been left: its deadline cannot be moved")
        backend = self._backend
        if backend is not None:
            self._check_loop(backend)
        before, self.delay = self.delay, delay
        if self.has_expired if backend is None else not backend.reschedule(self, when):
            self.delay = before
            raise RuntimeError(
                f"{self!r} has already expired: its cancellation cannot be undone"
            )
        self.when = when

    def remaining(self) -> float:
        """Return the seconds until the deadline.

        This is 0.0 once the deadline has passed, infinity if there is no deadline, and
        the whole delay before entry.
        """
        if self._state is CREATED and self.delay is not None:
            return max(0.0, float(self.delay))
        if self.when == math.inf:
            return math.inf
        return max(0.0, self.when - (self._backend or current()).current_time())

    def cancel(self) -> None:
        """End the block as if its deadline had just passed.

        If you call this before entry, the block expires as soon as it is entered. If the
        block has expired or has been left, the call does nothing.

        Raises:
            RuntimeError: If you call this from another thread.
        """
        backend = self._backend
        if backend is not None:
            self._check_loop(backend)
            if not self.expired:
                self.was_cancelled = True
                backend.cancel(self)
        elif self._state is CREATED:
            self.has_expired = self.was_cancelled = True

    @property
    def expired(self) -> bool:
        """Whether the block has been told to end, by its deadline or by :meth:`cancel`.

        If the deadline has passed and the loop has not noticed yet, reading this property
        requests the cancellation, like trio's ``cancel_called``.
        """
        backend = self._backend
        if (
            backend is not None
            and not self.has_expired
            and backend.is_running_here()
            and backend.current_time() >= self.when
        ):
            backend.cancel(self)
        return self.has_expired

    @property
    def cancelled_caught(self) -> bool:
        """Whether the block was ended by its deadline or by :meth:`cancel`."""
        return self._caught

    def _check_loop(self, backend: Backend) -> None:
        if not backend.is_running_here():
            raise RuntimeError(
                f"{self!r} can be changed only on the loop that it runs on: from "
                "another thread, use loop.call_soon_threadsafe() of asyncio or "
                "trio.from_thread.run_sync()"
            )
