"""``Timeout`` and the error that it raises. Everything about loops is in the backend."""

from __future__ import annotations

import math
from types import coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .._backends import current
from .._errors import add_note_of, explain, interrupted_by, message
from ._deadline import CREATED, EXITED, Deadline, NotOpen
from ._decorator import with_block
from ._first_instruction import try_begins_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType
    from typing import Self

    from .._backends import Backend
    from .._results import Completed
    from .._seconds import Seconds

P = ParamSpec("P")
T = TypeVar("T")

# What a block keeps when it is pickled or copied: nothing that belongs to a loop.
_PORTABLE = (
    "delay",
    "when",
    "name",
    "is_shield",
    "is_level_triggered",
    "has_expired",
    "was_cancelled",
    "_caught",
    "_quiet",
)


# Not an `async` function: Python would warn of a coroutine that was never awaited if a
# signal handler raised before its first step.
@coroutine
def _answer(swallow: bool | None) -> Generator[None, None, bool | None]:
    """What an ``await`` returns at once."""
    return swallow
    yield


class Timeout(Deadline):
    """A block that must end in time.

    Works with both ``with`` and ``async with``, on asyncio, uvloop and trio. Neither form
    suspends the task on entry or exit. Most code calls :func:`timeout`,
    :func:`timeout_at`, :func:`move_on_after`, :func:`move_on_at` or :func:`shield`; the
    class has all of their options.

    Args:
        delay: Seconds (or a ``timedelta``) from entry to the deadline. ``None`` and
            infinity mean that there is no deadline. If it is zero or negative, the block
            is cancelled at its first suspension.
        deadline: The deadline itself, in place of ``delay``: a time on the clock that
            :func:`current_time` reads.
        quiet: At the deadline, end the block without an exception.
        shield: Hold off enclosing deadlines while the block is open.
        level: After the deadline, cancel every further await in the block, as trio
            always does. The default on asyncio is to cancel once.
        name: A name for messages.

    Raises:
        DeadlineExceeded: If the deadline ends the block, unless it is ``quiet``.
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

    interrupted: Completed[Any] | None = None
    """The output so far of a call that the deadline interrupted, as a :class:`Completed` (T25).

    The call may be :func:`run`, :meth:`Process.communicate`, or a :func:`server` that was
    not ready yet. For ``communicate()``, ``returncode`` is ``None`` and ``usage`` is NaN,
    because the child was still running. ``interrupted`` is ``None`` if no such call was
    interrupted.
    """

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
                f"delay={delay!r} and deadline={deadline!r} cannot be combined: give "
                "either seconds from entry or a time on the clock of current_time()"
            )
        self._begin(delay, deadline, shield, level, name)
        if quiet:
            self._quiet = True

    # -- the block ---------------------------------------------------------

    def __enter__(self) -> Self:
        if self._state is not CREATED:
            raise RuntimeError(
                f"{self!r} has already been entered: each block needs its own Timeout"
            )
        backend = current()
        try:
            backend.enter(self)
            # T23: opening the block is the last thing that enter() does. No signal
            # handler runs between that and our return.
            self._state = backend
            return self
        except BaseException:
            backend.abandon(self)
            raise

    @try_begins_at_once
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            backend: Any = self._state
            left = backend.exit(self, exc)
        except BaseException:  # misuse, or a signal handler raised (T23)
            self._abandon()
            raise
        self._state = EXITED  # T20: a kept Timeout must not keep its loop
        if left is exc and (exc is None or not self.has_expired):
            return None
        try:
            if left is not None:
                self._pass_on(backend, exc, left)
                return None
            self._caught = True
            if (interrupted := interrupted_by(exc, self)) is not None:
                self.interrupted = interrupted
            if self._quiet:
                return True
            raise self._exceeded(backend) from exc
        finally:
            del exc, left  # T8: they hold this frame through their tracebacks

    def _abandon(self) -> None:
        state = self._state
        if not isinstance(state, NotOpen):
            self._state = EXITED
            state.abandon(self)

    def _pass_on(
        self, backend: Backend, exc: BaseException | None, left: BaseException
    ) -> None:
        """Let ``left`` leave the expired block: what the backend left of ``exc``."""
        if isinstance(left, backend.cancelled):
            return
        explain(
            left,
            lambda: self._exceeded(backend),
            backend.cancelled,
            is_certain=left is not exc,
        )
        if left is exc:
            return
        # T9: `left` is the rest of a group. Raising it here would put the whole group
        # into its context.
        context = left.__context__
        try:
            raise left
        finally:
            left.__context__ = context
            del exc, left, context  # they hold this frame through their tracebacks

    def _exceeded(self, backend: Backend) -> DeadlineExceeded:
        error = DeadlineExceeded(message(self, backend.current_time()), self)
        if self.interrupted is not None:
            error.interrupted = self.interrupted
            add_note_of(self.interrupted, error)
        return error

    async def __aenter__(self) -> Self:
        return self.__enter__()

    if TYPE_CHECKING:

        async def __aexit__(
            self,
            exc_type: type[BaseException] | None,
            exc: BaseException | None,
            traceback: TracebackType | None,
        ) -> bool | None: ...
    else:
        # T23: not a coroutine function. A signal handler may run between its call and
        # its first step, and the block would stay open. (The empty line keeps this
        # comment out of help().)

        @try_begins_at_once
        def __aexit__(self, exc_type, exc, traceback):
            try:
                return _answer(self.__exit__(exc_type, exc, traceback))
            except BaseException:
                self._abandon()  # if it was interrupted before __exit__() began
                raise

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function: each call has a block of its own.

        A block without a name is named after the function. With a quiet block, a call
        returns ``None`` at the deadline.

        Raises:
            TypeError: If ``function`` is not a coroutine function.

        >>> import asyncio, within
        >>> @within.timeout(0.01)
        ... async def nap():
        ...     await asyncio.sleep(10)
        >>> asyncio.run(nap())
        Traceback (most recent call last):
            ...
        within.DeadlineExceeded: 'nap' exceeded its limit of 0.01 s (ended 0.0004 s late)
        """
        kind = type(self)
        name = (
            getattr(function, "__qualname__", None) if self.name is None else self.name
        )
        deadline = None if self.when == math.inf else self.when
        is_quiet, is_shield = self._quiet, self.is_shield
        delay, is_level_triggered = self.delay, self.is_level_triggered

        def new_block() -> Timeout:
            block = kind.__new__(kind)
            block._begin(delay, deadline, is_shield, is_level_triggered, name)
            if is_quiet:
                block._quiet = True
            return block

        return with_block(function, new_block)

    # -- as data -----------------------------------------------------------

    def __repr__(self) -> str:
        state = self._state
        words = [state.name if isinstance(state, NotOpen) else "entered"]
        if self.has_expired:
            words.append("expired")
        elif state is CREATED and self.delay is not None:
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

    # A copy, in this process or another, is a record of the block: it is on no loop, and
    # cannot be entered.

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PORTABLE}

    def __setstate__(self, record: dict[str, Any]) -> None:
        vars(self).update(record, _state=EXITED, task=None, entry=None)


def _new(kind: Any) -> Any:
    """An instance without a call of ``__init__``, for :mod:`pickle` and :mod:`copy`."""
    return kind.__new__(kind)


class DeadlineExceeded(TimeoutError):
    """A block did not end before its deadline.

    This is a ``TimeoutError`` (and so an ``OSError``), like the timeout of a socket.
    ``scope`` is the :class:`~within.Timeout` that ended. It tells you which of several
    limits was exceeded. (The error of a socket has no ``scope``.)

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
    interrupted: Completed[Any] | None = None
    """The output so far of a call that the deadline interrupted, as a :class:`Completed` (T25).

    The call may be :func:`run`, :meth:`Process.communicate`, or a :func:`server` that was
    not ready yet. For ``communicate()``, ``returncode`` is ``None`` and ``usage`` is NaN,
    because the child was still running. ``interrupted`` is ``None`` if no such call was
    interrupted.
    """

    def __init__(self, message: str, scope: Timeout) -> None:
        super().__init__(message)
        self.scope = scope

    def __reduce__(self) -> Any:
        # Each subclass has an __init__ with other arguments.
        return _new, (type(self),), {**vars(self), "args": self.args}
