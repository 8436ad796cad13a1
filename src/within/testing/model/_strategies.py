"""Hypothesis strategies for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ._program import Program
from ._statements import (
    WAYS,
    Ask,
    Await,
    Block,
    Call,
    Cancel,
    CancelGroup,
    CancelScope,
    CancelTask,
    Catch,
    Fail,
    Finally,
    Get,
    Group,
    Put,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Statement,
    Swallow,
    TaskGroup,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ._statements import Body

# Sleeps are whole seconds and most deadlines odd multiples of 1/64, so that their sums
# are exact. Some deadlines are whole too, and coincide with the end of a sleep.
_sleeps = st.integers(0, 6).map(float)
_few = st.integers(0, 7)
_delays = st.one_of(
    st.none(),
    st.integers(-8, 256).map(lambda n: (2 * n + 1) / 64),
    st.integers(0, 6).map(float),
)

Leaves = list[st.SearchStrategy[Any]]
Kind = type[Group] | type[TaskGroup] | None  # of task groups

_leaves: Leaves = [
    st.builds(Sleep, _sleeps),
    st.builds(Reschedule, _few, _delays),
    st.builds(Cancel, _few),
    st.builds(CancelScope, _few),
    st.builds(Ask),
    st.builds(Fail),
]
_either = st.integers(0, 1)
_ways = st.sampled_from(WAYS)
_several = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)
_leaves_of_tasks: Leaves = [
    st.builds(Wait, _either),
    st.builds(Set, _either),
    st.builds(Put, _either),
    st.builds(Get, _either),
    st.builds(CancelGroup, _few),
]


def programs(
    *,
    level: bool | None = None,
    calls: Sequence[Callable[[], Awaitable[object]]] = (),
    depth: int = 3,
    tasks: bool = True,
    native: bool = False,
) -> st.SearchStrategy[Program]:
    """Programs of nested blocks, scopes and task groups.

    Args:
        level: Whether blocks are level-triggered; with ``None`` that is drawn too.
        calls: Coroutine functions of yours with different names, which the programs
            await.
        depth: How deeply statements are nested.
        tasks: Whether there are task groups with child tasks.
        native: Whether programs call ``Task.cancel()``, which only asyncio has.

    >>> from hypothesis import find
    >>> from within.testing.model import Sleep, programs
    >>> program = find(programs(), lambda program: "timeout(" in program.source)
    >>> print(program.source[program.source.index("async def"):])
    async def main():
        async with within.timeout(None, name="block_0") as block_0:
            pass
    <BLANKLINE>
    """
    leaves = [*_leaves, *_leaves_of_tasks] if tasks else [*_leaves]
    if native:
        leaves.append(st.builds(CancelTask))
    if calls:
        # One for each of the others, so that half of all leaves are calls.
        leaves += [st.builds(Call, st.sampled_from(calls)) for _ in leaves]
    kind = Group if tasks else None
    body = _bodies(depth, leaves, kind, min_size=1, max_size=4)
    levels = st.booleans() if level is None else st.just(level)

    @st.composite  # Hypothesis then shows the program, and not how it was made
    def program(draw: st.DrawFn) -> Program:
        return Program(draw(body), level=draw(levels))

    return program()


def programs_of_shared_tasks(*, depth: int = 3) -> st.SearchStrategy[Program]:
    """Programs for asyncio whose tasks await one another and open asyncio task groups.

    Their blocks are edge-triggered, and they have no scopes of anyio.

    Args:
        depth: How deeply statements are nested.
    """
    leaves: Leaves = [
        st.builds(Sleep, _sleeps),
        st.builds(Reschedule, _few, _delays),
        st.builds(Cancel, _few),
        st.builds(Ask),
        st.builds(Fail),
        st.builds(Wait, _either),
        st.builds(Set, _either),
    ]
    awaits = st.builds(Await, _several, _ways)
    limited = st.tuples(awaits, st.builds(Sleep, _sleeps))
    limits = st.builds(Block, _sleeps, st.booleans(), st.just(False), limited)
    leaves += [awaits, awaits, limits, limits, limits]
    shared = st.lists(
        _bodies(depth - 1, leaves, TaskGroup, min_size=1), min_size=1, max_size=2
    )
    # Small, because there are many orders in which simultaneous events may happen.
    body = _bodies(depth, leaves, TaskGroup, min_size=1, max_size=3)

    @st.composite
    def program(draw: st.DrawFn) -> Program:
        return Program(draw(body), shared=draw(shared))

    return program()


def _bodies(
    depth: int, leaves: Leaves, group: Kind, min_size: int = 0, max_size: int = 3
) -> st.SearchStrategy[Body]:
    statement = _statements(depth, leaves, group)
    return st.lists(statement, min_size=min_size, max_size=max_size).map(tuple)


def _statements(
    depth: int, leaves: Leaves, group: Kind
) -> st.SearchStrategy[Statement]:
    if depth == 0:
        return st.one_of(leaves)
    body = _bodies(depth - 1, leaves, group)
    nested: Leaves = [
        st.builds(Block, _delays, st.booleans(), st.booleans(), body),
        st.builds(Finally, body, body),
        st.builds(Swallow, body),
        st.builds(Catch, body),
    ]
    if group is not TaskGroup:
        nested.append(st.builds(Scope, _delays, st.booleans(), body))
    if group is not None:
        children = st.lists(body, min_size=1, max_size=2).map(tuple)
        nested.append(st.builds(group, children, body))
    return st.one_of(*leaves, *nested)
