"""The report of a deadlock: which tasks wait, and at which line of code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core import frames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType


class Deadlock(RuntimeError):
    """A program in virtual time cannot continue.

    Every task is blocked and nothing is left that could wake one, or a task polls
    without sleeping, which keeps the clock from moving. The message says which, and
    lists the tasks, each with the line of code at which it waits.
    """


BLOCKED = "every task is blocked and nothing is left that could wake one"
POLLING = (
    "a task polls without sleeping, and the clock stands still while a task can run "
    "(sleep between two polls, or wait for an event)"
)


def report(
    now: float, tasks: Iterable[tuple[str, Any]], reason: str = BLOCKED
) -> Deadlock:
    """Make the error; tasks are given as pairs of a name and a coroutine."""
    lines = sorted(f"{name}: {waiting_at(coroutine)}" for name, coroutine in tasks)
    return Deadlock(
        f"deadlock at {now:.12g} s of virtual time: {reason}\n  " + "\n  ".join(lines)
    )


# A wait usually ends in frames of these packages, which do not tell the reader
# which part of the program is waiting.
_LIBRARIES = {"anyio", "asyncio", "contextlib", "trio", "within"}


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
