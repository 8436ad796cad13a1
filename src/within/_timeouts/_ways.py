"""The five functions that create a ``Timeout``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .._seconds import as_seconds
from ._timeout import Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .._seconds import Seconds


P = ParamSpec("P")
T = TypeVar("T")


class _Block(Timeout):
    """Built from positional arguments only, which makes the call faster."""

    if TYPE_CHECKING:

        def __init__(self, *arguments: Any) -> None: ...
    else:
        __init__ = Timeout._begin


class _Quiet(_Block):
    """A block that raises nothing at its deadline."""

    _quiet = True

    if TYPE_CHECKING:  # `bool` tells type checkers that the code after it is reachable

        def __exit__(self, *exc: object) -> bool: ...
        def __call__(  # type: ignore[override]
            self, function: Callable[P, Coroutine[Any, Any, T]]
        ) -> Callable[P, Coroutine[Any, Any, T | None]]: ...
        async def __aexit__(self, *exc: object) -> bool: ...


def timeout(
    delay: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> Timeout:
    """A block that raises :exc:`DeadlineExceeded` after ``delay`` seconds.

    Args:
        delay: Seconds (or a ``timedelta``) from entry to the deadline. ``None`` means that
            there is no deadline.
        shield, level, name: As for :class:`Timeout`.

    Raises:
        DeadlineExceeded: If the deadline ends the block. It is a :exc:`TimeoutError`.
        ValueError, TypeError, RuntimeError: As for :class:`Timeout`.

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.timeout(0.01, name="nap"):
    ...         await asyncio.sleep(10)
    >>> asyncio.run(main())
    Traceback (most recent call last):
        ...
    within.DeadlineExceeded: 'nap' exceeded its limit of 0.01 s (ended 0.0004 s late)
    """
    return _Block(delay, None, shield, level, name)


def timeout_at(
    deadline: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> Timeout:
    """A block that raises :exc:`DeadlineExceeded` at ``deadline``.

    Args:
        deadline: A time on the clock that :func:`current_time` reads, in seconds.
            ``None`` means that there is no deadline.
        shield, level, name: As for :class:`Timeout`.

    Raises:
        DeadlineExceeded: If the deadline ends the block. It is a :exc:`TimeoutError`.
        ValueError, TypeError, RuntimeError: As for :class:`Timeout`.

    >>> import trio, within
    >>> async def main():
    ...     budget = within.current_time() + 0.01
    ...     for step in (1, 2, 3):
    ...         async with within.timeout_at(budget, name=f"step {step}"):
    ...             await trio.sleep(0.004)
    >>> trio.run(main)
    Traceback (most recent call last):
        ...
    within.DeadlineExceeded: 'step 3' exceeded its deadline 161803.4 (ended 0.0004 s late)
    """
    return _Block(None, deadline, shield, level, name)


def move_on_after(
    delay: Seconds | None,
    *,
    shield: bool = False,
    level: bool = False,
    name: str | None = None,
) -> _Quiet:
    """A block that ends quietly after ``delay`` seconds.

    Afterwards, ``cancelled_caught`` tells you whether the deadline has ended it.

    Args:
        delay: Seconds (or a ``timedelta``) from entry to the deadline. ``None`` means that
            there is no deadline.
        shield, level, name: As for :class:`Timeout`.

    Raises:
        ValueError, TypeError, RuntimeError: As for :class:`Timeout`.

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
    """A block that ends quietly at ``deadline``.

    Afterwards, ``cancelled_caught`` tells you whether the deadline has ended it.

    Args:
        deadline: A time on the clock that :func:`current_time` reads, in seconds.
            ``None`` means that there is no deadline.
        shield, level, name: As for :class:`Timeout`.

    Raises:
        ValueError, TypeError, RuntimeError: As for :class:`Timeout`.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.move_on_at(within.current_time() - 1) as past:
    ...         print("runs until the first suspension")
    ...         await asyncio.sleep(0)
    ...         print("not reached")
    >>> asyncio.run(main())
    runs until the first suspension
    """
    return _Quiet(None, deadline, shield, level, name)


def shield(grace: Seconds | None = None) -> _Quiet:
    """A block that enclosing deadlines cannot cancel, for ``grace`` seconds at most.

    The enclosing deadlines take effect at the first suspension after the block. On
    asyncio, a shield holds off anyio's scopes too. Nothing can hold off a bare
    ``Task.cancel()``, which is also how ``asyncio.TaskGroup`` cancels its children.

    Args:
        grace: Seconds (or a ``timedelta``) from entry to the shield's own deadline, at
            which the block ends quietly. ``None`` means that there is no limit.

    Raises:
        ValueError, TypeError, RuntimeError: As for :class:`Timeout`.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.move_on_after(0):
    ...         try:
    ...             await asyncio.sleep(10)
    ...         finally:
    ...             with within.shield(5):
    ...                 await asyncio.sleep(0.001)
    ...                 print("connection closed")
    >>> asyncio.run(main())
    connection closed
    """
    if grace is not None:
        grace = as_seconds(grace, "grace")  # the error of Timeout says `delay`
    return _Quiet(grace, None, True, False, None)
