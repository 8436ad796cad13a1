"""Cancellations that ``asyncio.TaskGroup`` swallows before CPython 3.13 (T22).

A group whose child fails raises that error, and drops a cancellation of its parent that
arrived in the meantime, whether in the group's body or in its exit. From 3.13 on it
cancels the parent once more. For older versions, this module tells which groups a task
is in, and whether one of them has dropped a cancellation. It reads private state of
``TaskGroup``, which does not change any more in those versions.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from types import AsyncGeneratorType, MethodType
from typing import TYPE_CHECKING, Any, cast

from ..._core import Block, held_by
from ._waiting import tasks_reached, waiter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Group = Any  # an asyncio.TaskGroup, of which we read private attributes


GROUPS_SWALLOW = sys.version_info < (3, 13)


# How far a group may be behind the bound `__aexit__` of a block that a coroutine is in:
# in an attribute of its owner, in the generator of an @asynccontextmanager, among the
# callbacks of an AsyncExitStack.
_DEPTH = 8
_MANY = 100  # objects that are looked at, at most
_WAYS = (MethodType, AsyncGeneratorType, deque, dict, list, tuple)


def open_groups(task: asyncio.Task[Any]) -> list[Group]:
    """The groups that may drop a cancellation of a suspended task: those that it is in,
    and those that the tasks that it waits for are in.
    """
    found: dict[int, Group] = {}
    for one in (task, *tasks_reached(waiter_of(task))):
        for held in _behind(held_by(one.get_coro())):
            is_group = issubclass(type(held), asyncio.TaskGroup)
            if is_group and held._parent_task is one and is_open(held):
                found[id(held)] = held
    return list(found.values())


def _behind(objects: Iterable[Any]) -> Iterator[Any]:
    """``objects``, and what is behind the bound methods among them."""
    near: list[Any] = []
    for one in objects:
        yield one
        if type(one) is MethodType and not isinstance(one.__self__, Block):
            near.append(one.__self__)
    known: dict[int, Any] = {}
    for _ in range(_DEPTH):
        further: list[Any] = []
        for one in near:
            if id(one) not in known and len(known) < _MANY:
                known[id(one)] = one
                yield one
                kind = cast("Any", type(one))
                if issubclass(kind, _WAYS) or hasattr(kind, "__aexit__"):
                    further += gc.get_referents(one)
        near = further


def is_open(group: Group) -> bool:
    """Whether the suspended parent of ``group`` is in its body or in its exit."""
    if has_raised(group):
        return False
    return not group._exiting or group._on_completed_fut is not None


def has_raised(group: Group) -> bool:
    """Whether ``group`` has raised the errors of its children."""
    return group._errors is None


def awaited_by(groups: Sequence[Group]) -> Any:
    """The future that the parent of the innermost of ``groups`` waits for, in the body or
    in the exit of the group.
    """
    waiters = (waiter_of(group._parent_task) for group in reversed(groups))
    return next((waiter for waiter in waiters if waiter is not None), None)
