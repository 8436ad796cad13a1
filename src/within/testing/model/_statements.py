"""The statements of a program.

`_source.py` writes each as code; `_reference.py` knows what each does.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

Body = tuple["Statement", ...]

WAYS = ("await", "shield", "wait", "gather")


@dataclass(frozen=True)
class Statement:
    """One statement; ``line`` is its line in the source code of its program."""

    line: int = field(default=0, init=False, compare=False, repr=False)

    def bodies(self) -> Iterator[Body]:
        """The nested bodies that the same task runs, in order."""
        for name in ("body", "cleanup"):
            if hasattr(self, name):
                yield getattr(self, name)


@dataclass(frozen=True)
class Sleep(Statement):
    """Sleep for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Wait(Statement):
    """Wait until an event is set."""

    event: int


@dataclass(frozen=True)
class Set(Statement):
    """Set an event, which wakes all tasks that wait for it."""

    event: int


@dataclass(frozen=True)
class Put(Statement):
    """Put the line number of this statement into an unbounded queue."""

    queue: int


@dataclass(frozen=True)
class Get(Statement):
    """Take a number out of a queue, or wait for one if the queue is empty."""

    queue: int


@dataclass(frozen=True)
class Fail(Statement):
    """Raise a :exc:`ValueError`."""


@dataclass(frozen=True)
class Ask(Statement):
    """Read the effective deadline."""


@dataclass(frozen=True)
class Reschedule(Statement):
    """Move the deadline of a block, in this or another task.

    ``block`` is the index of a block in the order of the source code, modulo the number
    of blocks. Nothing happens if the program has no block, or if that block has
    expired or has been left.
    """

    block: int
    delay: float | None  # from now on


@dataclass(frozen=True)
class Cancel(Statement):
    """Cancel a block, in this or another task; see :class:`Reschedule`."""

    block: int


@dataclass(frozen=True)
class CancelScope(Statement):
    """Cancel a scope of anyio, in this or another task: a foreign cancellation."""

    scope: int


@dataclass(frozen=True)
class CancelGroup(Statement):
    """Cancel a task group around this statement, counted from the innermost."""

    outwards: int


@dataclass(frozen=True)
class CancelTask(Statement):
    """Call ``Task.cancel()`` on the main task (asyncio only). No shield stops it."""


@dataclass(frozen=True)
class Block(Statement):
    """A block of ours."""

    delay: float | None
    quiet: bool
    shield: bool
    body: Body


@dataclass(frozen=True)
class Scope(Statement):
    """A cancel scope of anyio, from which foreign cancellations come."""

    delay: float | None
    shield: bool
    body: Body


@dataclass(frozen=True)
class Group(Statement):
    """A task group, with the body of each child task."""

    children: tuple[Body, ...]
    body: Body


@dataclass(frozen=True)
class Await(Statement):
    """Await shared tasks of the program (asyncio only).

    ``tasks`` are indices of shared tasks, modulo the number of these. A task that would
    await itself awaits nothing.

    Args:
        tasks: Which tasks; ``await`` and ``shield`` use the first one only.
        way: ``"await"``, ``"shield"``, ``"wait"`` or ``"gather"``.
    """

    tasks: tuple[int, ...]
    way: str


@dataclass(frozen=True)
class TaskGroup(Statement):
    """A task group of asyncio, which cancels with ``Task.cancel()`` (asyncio only)."""

    children: tuple[Body, ...]
    body: Body


@dataclass(frozen=True)
class Finally(Statement):
    """Run ``cleanup`` however ``body`` ends."""

    body: Body
    cleanup: Body


@dataclass(frozen=True)
class Swallow(Statement):
    """Catch a cancellation and continue."""

    body: Body


@dataclass(frozen=True)
class Catch(Statement):
    """Catch a :exc:`within.DeadlineExceeded` and continue."""

    body: Body


@dataclass(frozen=True)
class Call(Statement):
    """Await a coroutine function of yours, which the reference does not know."""

    function: Callable[[], Awaitable[object]]


def fresh(body: Any) -> Body:
    """A copy in which no statement occurs twice, so that each has its own line."""

    def copy(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(map(copy, cast("list[Any]", value)))
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
        raise TypeError(f"{statement!r} is not a statement of within.testing.model")
    for name in ("seconds", "delay"):
        number = getattr(statement, name, None)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{name} is {number!r}: give seconds as a number")
        if not math.isfinite(number) or (name == "seconds" and number < 0):
            raise ValueError(f"{name} is {number!r}: give a finite number of seconds")
    if isinstance(statement, Await) and statement.way not in WAYS:
        raise ValueError(f"way is {statement.way!r}: give one of {', '.join(WAYS)}")
    if isinstance(statement, Call):
        name = getattr(statement.function, "__name__", "")
        if not name.isidentifier() or name == "main":
            raise ValueError(
                f"{statement.function!r} cannot be called by its name: give a coroutine "
                'function made by "async def" whose name is not "main"'
            )


def walk(body: Body) -> Iterator[Statement]:
    """Every statement, in the order of the source code."""
    for statement in body:
        yield statement
        if isinstance(statement, Group | TaskGroup):
            for child in statement.children:
                yield from walk(child)
        for inner in statement.bodies():
            yield from walk(inner)
