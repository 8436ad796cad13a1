"""A block around each call of a coroutine function (T26)."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

P = ParamSpec("P")
T = TypeVar("T")


def with_block(
    function: Callable[P, Coroutine[Any, Any, T]],
    new_block: Callable[[], AbstractContextManager[object, bool | None]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Wrap ``function`` so that each call runs in a block of its own.

    Raises:
        TypeError: If ``function`` is not a coroutine function.
    """
    from inspect import isasyncgenfunction, iscoroutinefunction  # takes a while to load

    if not iscoroutinefunction(function):
        given: Any = function
        if isinstance(given, classmethod | staticmethod):
            kind = type(cast("object", given)).__name__
            reason = f"it is a {kind}. Put this decorator below @{kind}"
        elif isasyncgenfunction(function):
            reason = (
                "it is an async generator, and while it is suspended its caller would run "
                "inside the block (PEP 789). Put the block into the loop that iterates "
                "over it"
            )
        else:
            reason = (
                "it is not a coroutine function (async def). Enter the block with `with` "
                "or `async with` instead"
            )
        raise TypeError(f"{function!r} cannot be decorated, because {reason}")

    @wraps(function)
    async def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
        with new_block():
            return await function(*args, **kwargs)

    return limited
