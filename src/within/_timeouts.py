"""Timeout, and the five ways to one. Which loop runs is the backend's matter."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ._backends import current
from ._clock import as_seconds
from ._errors import exceeded, explain

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._backends._protocol import Backend
    from ._clock import Seconds

# The states of a block, as `repr()` shows them. In the first two it may have
# expired as well: before entry by cancel() (T12).
_CREATED: Final = "created"
_ENTERED: Final = "entered"
_EXITED: Final = "exited"


class Timeout:
    """A block that must end in time.

    Works as ``with`` and as ``async with``, on asyncio, uvloop and trio; neither
    form suspends the task on its way in or out. Use it through the five functions
    (:func:`timeout` and so on), or build it here with everything at choice.

    Args:
        delay: Seconds (or a ``timedelta``) from entry to the deadline. ``None``
            and infinity never come; zero or less has come at the first
            suspension in the block.
        deadline: The same as a reading of :func:`current_time`, in place of
            ``delay``.
        quiet: Leave the block without an exception at the deadline.
        shield: Hold off enclosing deadlines while the block is open.
        level: Cancel whatever suspends in the block after the deadline, again
            and again, as trio always does; on asyncio the default is once.
        name: Goes into messages.

    Raises:
        DeadlineExceeded: On leaving a block that its deadline has ended.
        ValueError: For NaN, and for ``delay`` together with ``deadline``.
        TypeError: For anything else that is not a number of seconds.
        RuntimeError: When entered twice, outside a task, or left in another task
            or out of order.

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.Timeout(0.01, quiet=True, name="nap") as nap:
    ...         await asyncio.sleep(10)
    ...     print(nap.expired, nap.cancelled_caught)
    >>> asyncio.run(main())
    True True
    """

    # What few blocks ever need is an attribute of the class until then. What each
    # block stores is not, for that is fast only where the class has none of the name.
    _name: str | None = None
    _quiet = False
    _shield = False
    _level = False
    _expired = False
    _caught = False
    # Kept by the backend while the block is open; on trio the scope is all.
    _scope: Any = None  # trio's own; of anyio's, the one around the block
    _anyio_shield: Any = None  # on asyncio, the one that was opened for it
    _cancelling = 0  # task.cancelling() at entry
    _counted = False  # a cancel() of ours is to be taken back
    _struck = False  # a cancellation in flight is for this block

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
        self._delay: float | None  # from entry
        kind: Any = delay.__class__  # T5: what nearly everybody gives is quickly seen
        if (kind is float and 0.0 < delay < 1e9) or (kind is int and 0 < delay < 10**9):
            self._delay = delay
        else:
            self._delay = None if delay is None else as_seconds(delay, "delay")
        self._when = math.inf if deadline is None else as_seconds(deadline, "deadline")
        self._state = _CREATED
        self._backend: Backend | None = None
        self._task: Any = None  # the task that is in the block
        self._parent: Timeout | None = None  # the block around this one
        self._entry: Any = None  # in the alarm, on asyncio
        if shield:
            self._shield = True
        if level:
            self._level = True
        if name is not None:
            self._name = name

    # -- the block ---------------------------------------------------------

    def __enter__(self) -> Self:
        if self._state is not _CREATED:
            raise RuntimeError(
                f"{self!r} was entered before: each block needs a Timeout of its own"
            )
        backend = current()
        backend.enter(self)
        self._backend = backend
        self._state = _ENTERED
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        backend = self._backend
        if backend is None:
            raise RuntimeError(f"{self!r} is not open: it cannot be left")
        self._backend = None  # T20: who keeps the Timeout must not keep the loop
        self._state = _EXITED
        if backend.exit(self, exc):
            self._caught = True
            if self._quiet:
                return True
            raise exceeded(self) from exc
        if exc is not None and self._expired and not isinstance(exc, backend.cancelled):
            explain(exc, self, backend.cancelled)
        return None

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
        """A reading of :func:`current_time`, or ``None`` where there is none.

        ``None`` as well while a delay has not begun to count, before entry.
        Setting it is :meth:`reschedule`.
        """
        return None if self._when == math.inf else self._when

    @deadline.setter
    def deadline(self, deadline: Seconds | None) -> None:
        self.reschedule(deadline)

    def reschedule(self, deadline: Seconds | None) -> None:
        """Move the deadline: earlier, later, or to ``None`` for never.

        Anyone on the same loop may, before entry and until expiry; a keep-alive
        is written with it. What arrives just as the deadline does may find the
        block expired: ask :attr:`expired` first.

        Args:
            deadline: Seconds on the clock that :func:`current_time` reads.

        Raises:
            RuntimeError: After the block has expired or has been left.

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
            raise RuntimeError(f"{self!r} has been left: its deadline is history")
        backend = self._backend
        if self._expired if backend is None else not backend.reschedule(self, when):
            raise RuntimeError(
                f"{self!r} has expired already: its cancellation cannot be taken back"
            )
        self._delay = None
        self._when = when

    def remaining(self) -> float:
        """Seconds until the deadline: 0.0 once it has passed, infinity for none.

        Before entry, the whole of the delay.
        """
        if self._state is _CREATED and self._delay is not None:
            return max(0.0, float(self._delay))
        if self._when == math.inf:
            return math.inf
        return max(0.0, self._when - (self._backend or current()).current_time())

    def cancel(self) -> None:
        """End the block as if its deadline had just passed.

        Before entry it counts from entry; after exit, or again, it does nothing.
        """
        if self._backend is not None:
            self._backend.cancel(self)
        elif self._state is _CREATED:
            self._expired = True

    @property
    def expired(self) -> bool:
        """Whether the cancellation of the block was requested.

        Asking in an open block whose deadline has passed requests it, should the
        loop not have come to that yet; this is how trio's ``cancel_called`` works.
        """
        backend = self._backend
        if backend is not None and not self._expired:
            with suppress(RuntimeError):  # asked from another thread
                if backend.current_time() >= self._when:
                    backend.cancel(self)
        return self._expired

    @property
    def cancelled_caught(self) -> bool:
        """Whether the deadline is what ended the block."""
        return self._caught

    @property
    def name(self) -> str | None:
        """What the block was called by who made it."""
        return self._name

    # -- words -------------------------------------------------------------

    def __repr__(self) -> str:
        words = [self._state]
        if self._expired:
            words.append("expired")
        elif self._state is _CREATED and self._delay is not None:
            words.append(f"delay={self._delay:g}")
        elif self._when != math.inf:
            words.append(f"deadline={self._when:.12g}")
        options = ("quiet", "shield", "level")
        words += [option for option in options if getattr(self, "_" + option)]
        name = "" if self._name is None else f" {self._name!r}"
        return f"<Timeout{name} {' '.join(words)}>"


class _Block(Timeout):
    """Arguments by position, all of them, make a class fast to call."""

    if TYPE_CHECKING:

        def __init__(self, *arguments: Any) -> None: ...
    else:
        __init__ = Timeout._begin


class _Quiet(_Block):
    """A block that is left quietly."""

    _quiet = True

    if TYPE_CHECKING:  # that what follows such a block is reached after all

        def __exit__(self, *exc: object) -> bool: ...
        async def __aexit__(self, *exc: object) -> bool: ...


def timeout(
    delay: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> Timeout:
    """A block that raises :exc:`DeadlineExceeded` when ``delay`` seconds are over.

    Args and errors as for :class:`Timeout`.

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.timeout(0.01, name="nap"):
    ...         await asyncio.sleep(10)
    >>> asyncio.run(main())
    Traceback (most recent call last):
        ...
    within.DeadlineExceeded: 'nap' exceeded its limit of 0.01 s (ended ... s late)
    """
    return _Block(delay, None, shield, level, name)


def timeout_at(
    deadline: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> Timeout:
    """:func:`timeout` with a reading of :func:`current_time` in place of a delay.

    >>> import trio, within
    >>> async def main():
    ...     budget = within.current_time() + 0.01
    ...     for step in (1, 2, 3):
    ...         async with within.timeout_at(budget, name=f"step {step}"):
    ...             await trio.sleep(0.004)
    >>> trio.run(main)
    Traceback (most recent call last):
        ...
    within.DeadlineExceeded: 'step ...' exceeded its deadline ... (ended ... s late)
    """
    return _Block(None, deadline, shield, level, name)


def move_on_after(
    delay: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> _Quiet:
    """A block that is left quietly when ``delay`` seconds are over.

    Args and errors as for :class:`Timeout`; ``cancelled_caught`` tells.

    >>> import trio, within
    >>> async def main():
    ...     with within.move_on_after(0.01) as nap:
    ...         await trio.sleep(10)
    ...     return nap.cancelled_caught
    >>> trio.run(main)
    True
    """
    return _Quiet(delay, None, shield, level, name)


def move_on_at(
    deadline: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> _Quiet:
    """:func:`move_on_after` with a reading of :func:`current_time` for a delay.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.move_on_at(within.current_time() - 1) as past:
    ...         print("runs up to the first suspension")
    ...         await asyncio.sleep(0)
    ...         print("and not on")
    >>> asyncio.run(main())
    runs up to the first suspension
    """
    return _Quiet(None, deadline, shield, level, name)


def shield(grace: Seconds | None = None) -> _Quiet:
    """A block that enclosing deadlines leave alone, for ``grace`` seconds at most.

    They strike at the first suspension after it. On asyncio it holds off anyio's
    scopes too, but nothing can hold off a bare ``Task.cancel()``, which is also
    what ``asyncio.TaskGroup`` sends its children.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.move_on_after(0):
    ...         try:
    ...             await asyncio.sleep(10)
    ...         finally:
    ...             with within.shield(5):
    ...                 await asyncio.sleep(0.001)
    ...                 print("said good-bye")
    >>> asyncio.run(main())
    said good-bye
    """
    return _Quiet(grace, None, True, False, None)
