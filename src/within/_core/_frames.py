"""Where a suspended coroutine is: its frames, from the outermost to the innermost."""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# An asynchronous generator, and the `__await__` of a coroutine, are awaited through
# objects of these types, which do not tell what they await. Python has no names for
# the types.
_STEPS = {
    "anext_awaitable",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine_wrapper",
}
_SUSPENDED = (AsyncGeneratorType, CoroutineType, GeneratorType)


def frames(suspended: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, from the outermost to the innermost."""
    while suspended is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(suspended, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                suspended = getattr(suspended, inner)
                break
        else:
            suspended = _awaited_through(suspended)


def _awaited_through(step: Any) -> Any:
    if type(step).__name__ not in _STEPS:
        return None
    inside: list[Any] = gc.get_referents(step)
    for found in inside:
        if type(found) in _SUSPENDED or type(found).__name__ in _STEPS:
            return found
    return None
