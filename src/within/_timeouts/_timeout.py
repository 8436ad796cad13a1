"""``Timeout`` and the error that it raises. Everything about loops is in the backend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from .._backends import current
from .._core import Block
from .._errors import explain, message
from .._seconds import as_seconds

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .._backends import Backend
    from .._seconds import Seconds

# The states of a block, as `repr()` shows them.
_CREATED: Final = "created"
_ENTERED: Final = "entered"
_EXITED: Final = "exited"

# What a block keeps when it is pickled or copied: nothing that belongs to a loop.
_PORTABLE = ("delay", "when", "name", "has_expired", "_caught", "_quiet")


class Timeout(Block):
    """A block that must end in time.

    Works as ``with`` and as ``async with``, on asyncio, uvloop and trio. Neither form
    suspends the task on the way in or out. Most code uses one of the five functions
    (:func:`timeout` and so on); the class offers every option at once.

    Args:
        delay: Seconds (or a ``timedelta``) from entry to the deadline. ``None`` and
            infinity mean no deadline. With zero or less, the block is cancelled at
            its first suspension.
        deadline: The deadline itself, as a reading of :func:`current_time`, instead
            of ``delay``.
        quiet: Leave the block without an exception at the deadline.
        shield: Hold off enclosing deadlines while the block is open.
        level: After the deadline, cancel every await in the block again and again, as
            trio always does. The default on asyncio is to cancel once.
        name: A name for messages.

    Raises:
        DeadlineExceeded: When the block is left because of its deadline.
        ValueError: If a number is NaN, or both ``delay`` and ``deadline`` are given.
        TypeError: If ``delay`` or ``deadline`` is not a number of seconds.
        RuntimeError: If the block is entered twice or outside a task, or is left in
            another task or out of order.

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.Timeout(0.01, quiet=True, name="nap") as nap:
    ...         await asyncio.sleep(10)
    ...     print(nap.expired, nap.cancelled_caught)
    >>> asyncio.run(main())
    True True
    """

    # Rarely used fields default to class attributes; see Block.
    _quiet = False
    _caught = False

    def __init__(
        self,
        delay: Seconds | None = None,
        *,
        deadline: Seconds | None = None,
        quiet: bool = False,
        shield: bool = False,
        level: bool = False,
        name: str | None = None,
    ) -> None:
        if delay is not None and deadline is not None:
            raise ValueError(
                f"delay={delay!r} and deadline={deadline!r} exclude each other: give "
                "seconds from entry, or a reading of current_time()"
            )
        self._begin(delay, deadline, shield, level, name)
        if quiet:
            self._quiet = True

    def _begin(
        self, delay: Any, deadline: Any, shield: bool, level: bool, name: str | None
    ) -> None:
        kind: Any = delay.__class__  # T5: the usual arguments are recognised quickly
        if (kind is float and 0.0 < delay < 1e9) or (kind is int and 0 < delay < 10**9):
            self.delay = delay
        else:
            self.delay = None if delay is None else as_seconds(delay, "delay")
        self.when = math.inf if deadline is None else as_seconds(deadline, "deadline")
        self._state = _CREATED
        self._backend: Backend | None = None
        self.task = None
        self.entry = None
        if shield:
            self.is_shield = True
        if level:
            self.is_level_triggered = True
        if name is not None:
            self.name = name

    # -- the block ---------------------------------------------------------

    def __enter__(self) -> Self:
        if self._state is not _CREATED:
            raise RuntimeError(
                f"{self!r} was entered before: each block needs a Timeout of its own"
            )
        backend = current()
        try:
            self._backend = backend
            self._state = _ENTERED
            # T23: opening the block is the last thing that enter() does, and nothing
            # between that and our return lets a signal handler run.
            backend.enter(self)
            return self
        except BaseException:
            self._backend = None
            self._state = _CREATED
            backend.abandon(self)
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        backend = self._backend
        if backend is None:
            raise RuntimeError(f"{self!r} is not open: it cannot be left")
        try:
            left = backend.exit(self, exc)
        except BaseException:  # misuse, or an exception out of a signal handler (T23)
            backend.abandon(self)
            self._backend = None
            self._state = _EXITED
            raise
        self._backend = None  # T20: a kept Timeout must not keep its loop
        self._state = _EXITED
        if left is exc and (exc is None or not self.has_expired):
            return None
        return self._unwind(backend, exc, left)

    def _unwind(
        self, backend: Backend, exc: BaseException | None, left: BaseException | None
    ) -> bool | None:
        """Raise what leaves a block that has expired.

        ``left`` is what the backend left of ``exc``, the exception in flight.
        """
        if left is None:
            self._caught = True
            if self._quiet:
                return True
            raise self._exceeded(backend) from exc
        if isinstance(left, backend.cancelled):
            return None
        explain(
            left,
            lambda: self._exceeded(backend),
            backend.cancelled,
            is_certain=left is not exc,
        )
        if left is exc:
            return None
        # T9: `left` is the rest of a group. Raising it here would put the whole group
        # into its context.
        context = left.__context__
        try:
            raise left
        finally:
            left.__context__ = context
            del exc, left, context  # they hold this frame through their tracebacks

    def _exceeded(self, backend: Backend) -> DeadlineExceeded:
        return DeadlineExceeded(message(self, backend.current_time()), self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self.__exit__(exc_type, exc, traceback)

    # -- the deadline ------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """The deadline, as a reading of :func:`current_time`; ``None`` for no deadline.

        Also ``None`` before entry if a delay was given, since the delay counts from
        entry. Assigning to it is the same as :meth:`reschedule`.
        """
        return None if self.when == math.inf else self.when

    @deadline.setter
    def deadline(self, deadline: Seconds | None) -> None:
        self.reschedule(deadline)

    def reschedule(self, deadline: Seconds | None) -> None:
        """Move the deadline: earlier, later, or to ``None`` for no deadline.

        Any code on the same loop may do so, before entry and until the block expires.
        What arrives just as the deadline passes may find the block expired; ask
        :attr:`expired` first.

        Args:
            deadline: Seconds on the clock that :func:`current_time` reads.

        Raises:
            RuntimeError: If the block has expired or has been left, or from another
                thread.

        >>> import asyncio, within
        >>> async def main():
        ...     with within.timeout(5) as limit:
        ...         limit.reschedule(within.current_time() + 60)
        ...         print(round(limit.remaining()))
        >>> asyncio.run(main())
        60
        """
        when = math.inf if deadline is None else as_seconds(deadline, "deadline")
        if self._state is _EXITED:
            raise RuntimeError(f"{self!r} has been left: its deadline cannot be moved")
        backend = self._backend
        if backend is not None:
            self._check_loop(backend)
        if self.has_expired if backend is None else not backend.reschedule(self, when):
            raise RuntimeError(
                f"{self!r} has expired already: its cancellation cannot be taken back"
            )
        self.delay = None
        self.when = when

    def remaining(self) -> float:
        """Seconds until the deadline; 0.0 once it has passed, infinity for no deadline.

        Before entry, the whole delay.
        """
        if self._state is _CREATED and self.delay is not None:
            return max(0.0, float(self.delay))
        if self.when == math.inf:
            return math.inf
        return max(0.0, self.when - (self._backend or current()).current_time())

    def cancel(self) -> None:
        """End the block as if its deadline had just passed.

        Before entry, the block expires as soon as it is entered. After the block has
        expired or has been left, this does nothing.

        Raises:
            RuntimeError: From another thread.
        """
        if self._backend is not None:
            self._check_loop(self._backend)
            self._backend.cancel(self)
        elif self._state is _CREATED:
            self.has_expired = True

    @property
    def expired(self) -> bool:
        """Whether the cancellation of the block has been requested.

        If the deadline has passed but the loop has not noticed yet, asking requests
        the cancellation, like trio's ``cancel_called``.
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
        """Whether the deadline is what ended the block."""
        return self._caught

    def _check_loop(self, backend: Backend) -> None:
        if not backend.is_running_here():
            raise RuntimeError(
                f"{self!r} can be changed only on the loop that it runs on: from "
                "another thread, use loop.call_soon_threadsafe() of asyncio or "
                "trio.from_thread.run_sync()"
            )

    # -- as data -----------------------------------------------------------

    def __repr__(self) -> str:
        words = [self._state]
        if self.has_expired:
            words.append("expired")
        elif self._state is _CREATED and self.delay is not None:
            words.append(f"delay={self.delay:g}")
        elif self.when != math.inf:
            words.append(f"deadline={self.when:.12g}")
        options = {
            "quiet": self._quiet,
            "shield": self.is_shield,
            "level": self.is_level_triggered,
        }
        words += [name for name, is_set in options.items() if is_set]
        name = "" if self.name is None else f" {self.name!r}"
        return f"<Timeout{name} {' '.join(words)}>"

    def __reduce__(self) -> Any:
        # A copy, in this process or another, is a record of the block: it is on no
        # loop, and cannot be entered.
        record = {name: getattr(self, name) for name in _PORTABLE}
        unset = dict.fromkeys(("_backend", "task", "entry"))
        return _new, (type(self),), {**record, **unset, "_state": _EXITED}


def _new(kind: Any) -> Any:
    """An instance without a call of ``__init__``, for :mod:`pickle` and :mod:`copy`."""
    return kind.__new__(kind)


class DeadlineExceeded(TimeoutError):
    """A block did not end before its deadline.

    It is a ``TimeoutError`` (and so an ``OSError``), like the timeouts of sockets.
    ``scope`` is the :class:`~within.Timeout` whose block ended. It tells one timeout
    from another, and from a socket's:

    >>> import asyncio, within
    >>> async def main():
    ...     with within.timeout(30, name="request") as request:
    ...         try:
    ...             with within.timeout(0, name="connect") as connect:
    ...                 await asyncio.sleep(1)
    ...         except TimeoutError as error:
    ...             print(error.scope is connect, error.scope is request)
    >>> asyncio.run(main())
    True False
    """

    scope: Timeout
    """The block that the deadline ended."""

    def __init__(self, message: str, scope: Timeout) -> None:
        super().__init__(message)
        self.scope = scope

    def __reduce__(self) -> Any:
        # Each subclass has an __init__ with other arguments.
        return _new, (type(self),), {**vars(self), "args": self.args}
