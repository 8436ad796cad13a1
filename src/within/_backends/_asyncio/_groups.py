"""Cancellations that ``asyncio.TaskGroup`` swallows before CPython 3.13 (T22).

A group whose child fails raises that error, and drops a cancellation of its parent that
arrived in the meantime, whether in the group's body or in its exit. From 3.13 on it
cancels the parent once more. For older versions, this module tells which groups a task
is in, and whether one of them has dropped a cancellation. It reads private state of
``TaskGroup``, which does not change any more in those versions.
"""

from __future__ import annotations

import asyncio
import sys
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..._core import held_by

if TYPE_CHECKING:
    from collections.abc import Sequence

Group = Any  # an asyncio.TaskGroup, of which we read private attributes


GROUPS_SWALLOW = sys.version_info < (3, 13)


def open_groups(task: asyncio.Task[Any]) -> list[Group]:
    """The groups around a suspended task that may drop a cancellation."""
    found: dict[int, Group] = {}
    for held in held_by(task.get_coro()):
        # In its body, the group is the owner of a bound __aexit__; in its exit, `self`.
        group: Any = held.__self__ if type(held) is MethodType else held
        is_group = issubclass(type(group), asyncio.TaskGroup)
        if is_group and group._parent_task is task and is_open(group):
            found[id(group)] = group
    return list(found.values())


def is_open(group: Group) -> bool:
    """Whether the suspended parent of ``group`` is in its body or in its exit."""
    if has_raised(group):
        return False
    return not group._exiting or group._on_completed_fut is not None


def has_raised(group: Group) -> bool:
    """Whether ``group`` has raised the errors of its children."""
    return group._errors is None


def pending_child(groups: Sequence[Group]) -> asyncio.Task[Any] | None:
    """A child for which one of ``groups`` waits in its exit."""
    for group in groups:
        if group._exiting:
            child: asyncio.Task[Any] | None = next(iter(group._tasks), None)
            if child is not None:
                return child
    return None
