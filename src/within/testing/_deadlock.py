"""The report of a deadlock: which tasks wait, and at which line of code."""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType


class Deadlock(RuntimeError):
    """In virtual time, a program cannot go on.

    Every task is blocked and nothing is left that could wake one, or a task polls for
    a later time without sleeping. The message says which, and lists the tasks, each
    with the line of code at which it waits.
    """


BLOCKED = "every task is blocked and nothing is left that could wake one"
POLLING = (
    "a task polls without sleeping, and the clock stands still while a task can run "
    "(sleep between two polls, or wait for an event)"
)


def report(
    now: float, tasks: Iterable[tuple[str, Any]], reason: str = BLOCKED
) -> Deadlock:
    """The error for tasks that are given as pairs of a name and a coroutine."""
    lines = sorted(f"{name}: {waiting_at(coroutine)}" for name, coroutine in tasks)
    return Deadlock(
        f"deadlock at {now:.12g} s of virtual time: {reason}\n  " + "\n  ".join(lines)
    )


# A wait usually ends in frames of these packages, which do not tell the reader
# which part of the program is waiting.
_LIBRARIES = {"anyio", "asyncio", "contextlib", "trio", "within"}

# Awaiting an asynchronous generator, or the `__await__` of a coroutine, goes through
# an object of one of these types. They do not expose what they await, and Python has
# no public names for them.
_STEPS = {
    "anext_awaitable",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine_wrapper",
}
_SUSPENDABLE = (AsyncGeneratorType, CoroutineType, GeneratorType)


def frames(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, from the outermost to the innermost."""
    while coroutine is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                coroutine = getattr(coroutine, inner)
                break
        else:
            coroutine = _awaited_through(coroutine)


def _awaited_through(step: Any) -> Any:
    if type(step).__name__ not in _STEPS:
        return None
    inside: list[Any] = gc.get_referents(step)
    for found in inside:
        if type(found) in _SUSPENDABLE or type(found).__name__ in _STEPS:
            return found
    return None


def waiting_at(coroutine: Any) -> str:
    """The innermost line at which a task waits, outside the code of the loop."""
    found: FrameType | None = None
    for frame in frames(coroutine):
        module = cast("str", frame.f_globals.get("__name__", ""))
        if found is None or module.partition(".")[0] not in _LIBRARIES:
            found = frame
    if found is None:
        return "not started yet"
    code = found.f_code
    return f"{code.co_filename}:{found.f_lineno} in {code.co_qualname}"
