"""Where a task is suspended: its coroutines and frames, from the outside in."""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# An asynchronous generator, and the `__await__` of a coroutine, are awaited through
# objects of these types, which have no attribute for what they await. Python does not
# export the types.
_STEPS = {
    "anext_awaitable",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine_wrapper",
}
_SUSPENDED = (AsyncGeneratorType, CoroutineType, GeneratorType)


def suspended(coroutine: Any) -> Iterator[tuple[Any, FrameType]]:
    """A suspended coroutine and all that it awaits in turn, each with its frame."""
    while coroutine is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                yield coroutine, frame
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                coroutine = getattr(coroutine, inner)
                break
        else:
            coroutine = _awaited_through(coroutine)


def frames(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, from the outermost to the innermost."""
    for _, frame in suspended(coroutine):
        yield frame


def held_by(coroutine: Any) -> Iterator[Any]:
    """The objects that a suspended coroutine holds, and those that it awaits in turn.

    They include its local variables, the exceptions that it is handling, and the bound
    ``__exit__`` and ``__aexit__`` of the blocks that it is in.
    """
    for one, _ in suspended(coroutine):
        yield from gc.get_referents(one)


def _awaited_through(step: Any) -> Any:
    if type(step).__name__ not in _STEPS:
        return None
    inside: list[Any] = gc.get_referents(step)
    for found in inside:
        if type(found) in _SUSPENDED or type(found).__name__ in _STEPS:
            return found
    return None
