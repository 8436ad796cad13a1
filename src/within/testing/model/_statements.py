"""What a program is made of. How each is written down is in `_source.py`, what it
does in `_reference.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

Body = tuple["Statement", ...]


@dataclass(frozen=True)
class Statement:
    """One statement; ``line`` is where it stands in the source of its program."""

    line: int = field(default=0, init=False, compare=False, repr=False)

    def bodies(self) -> Iterator[Body]:
        """The statements inside that the same task runs, in their order."""
        for name in ("body", "cleanup"):
            if hasattr(self, name):
                yield getattr(self, name)


@dataclass(frozen=True)
class Sleep(Statement):
    """Sleep so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Wait(Statement):
    """Wait until an event is set."""

    event: int


@dataclass(frozen=True)
class Set(Statement):
    """Set an event, which wakes whoever waits for it."""

    event: int


@dataclass(frozen=True)
class Put(Statement):
    """Put the number of the statement into a queue without an end."""

    queue: int


@dataclass(frozen=True)
class Get(Statement):
    """Take a number out of a queue, and wait for one if there is none."""

    queue: int


@dataclass(frozen=True)
class Fail(Statement):
    """Raise a :exc:`ValueError`."""


@dataclass(frozen=True)
class Ask(Statement):
    """Ask for the effective deadline."""


@dataclass(frozen=True)
class Reschedule(Statement):
    """Move the deadline of a block, of whichever task.

    ``block`` counts the blocks of the program as they are written down, and
    begins anew at their end. Nothing is done where there is none, or where it
    has expired or been left.
    """

    block: int
    delay: float | None  # from now on


@dataclass(frozen=True)
class Cancel(Statement):
    """End a block, of whichever task; counted as for :class:`Reschedule`."""

    block: int


@dataclass(frozen=True)
class CancelScope(Statement):
    """Cancel a scope of anyio's, of whichever task: a foreign cancellation."""

    scope: int


@dataclass(frozen=True)
class CancelGroup(Statement):
    """Cancel a task group around; ``outwards`` from the innermost."""

    outwards: int


@dataclass(frozen=True)
class CancelTask(Statement):
    """Call ``Task.cancel()`` of the main task, on asyncio: no shield holds it off."""


@dataclass(frozen=True)
class Block(Statement):
    """One of our own."""

    delay: float | None
    quiet: bool
    shield: bool
    body: Body


@dataclass(frozen=True)
class Scope(Statement):
    """One of anyio's: the neighbour, and where foreign cancellations come from."""

    delay: float | None
    shield: bool
    body: Body


@dataclass(frozen=True)
class Group(Statement):
    """A task group, with what each of its child tasks runs."""

    children: tuple[Body, ...]
    body: Body


@dataclass(frozen=True)
class Finally(Statement):
    """Run ``cleanup`` however ``body`` ends."""

    body: Body
    cleanup: Body


@dataclass(frozen=True)
class Swallow(Statement):
    """Catch a cancellation, and go on."""

    body: Body


@dataclass(frozen=True)
class Catch(Statement):
    """Catch a :exc:`within.DeadlineExceeded`, and go on."""

    body: Body


@dataclass(frozen=True)
class Call(Statement):
    """Await a coroutine function of yours. What it does, no reference knows."""

    function: Callable[[], Awaitable[object]]


def fresh(body: Any) -> Body:
    """A copy in which each statement is an object of its own, to be numbered."""

    def copy(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(map(copy, cast("Body", value)))
        if isinstance(value, Statement):
            inner = {
                f.name: copy(getattr(value, f.name)) for f in fields(value) if f.init
            }
            return replace(value, **inner)
        return value

    if not isinstance(body, tuple | list):
        raise TypeError(f"body is {body!r}: give a tuple of statements")
    copied: Body = copy(body)
    for statement in walk(copied):
        _check(statement)
    return copied


def _check(statement: object) -> None:
    if not isinstance(statement, Statement):
        raise TypeError(f"{statement!r} is no statement of within.testing.model")
    for name in ("seconds", "delay"):
        number = getattr(statement, name, None)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{name} is {number!r}: give seconds as a number")
        if not math.isfinite(number) or (name == "seconds" and number < 0):
            raise ValueError(f"{name} is {number!r}: give a finite number of seconds")
    if isinstance(statement, Call):
        name = getattr(statement.function, "__name__", "")
        if not name.isidentifier() or name == "main":
            raise ValueError(
                f"{statement.function!r} cannot be called by its name: give a coroutine "
                'function that has one, by "async def", and not "main"'
            )


def walk(body: Body) -> Iterator[Statement]:
    """Every statement, in the order in which they are written down."""
    for statement in body:
        yield statement
        if isinstance(statement, Group):
            for child in statement.children:
                yield from walk(child)
        for inner in statement.bodies():
            yield from walk(inner)
