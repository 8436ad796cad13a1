"""Tasks of the reference that wait for other tasks, as on asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._scopes import Cancelled
from ._statements import TaskGroup

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._scopes import Node, Suspended, Task


def is_complete(waiting: Suspended) -> bool:
    """Whether all that a task awaits has ended, or as much of it as is needed."""
    if not waiting.awaits:
        return False
    ended = [one for one in waiting.awaits if one.number]
    has_failed = any(one.end is not None for one in ended)
    return len(ended) == len(waiting.awaits) or (waiting.way == "gather" and has_failed)


def first_failed(waiting: Suspended) -> BaseException | None:
    """What ``gather()`` raises. Tasks that had ended before count in their order."""
    failed = [one for one in waiting.awaits if one.number and one.end is not None]
    if not failed:
        return None
    return min(failed, key=lambda one: max(one.number, waiting.since)).end


def brings_nothing(waiting: Suspended | None) -> bool:
    """T4: whether a wait is over only because a deadline of ours cancelled what it is
    for.
    """
    if waiting is None or not is_complete(waiting) or waiting.way == "wait":
        return False
    failed = first_failed(waiting)
    return isinstance(failed, Cancelled) and failed.passed_on


def reached(waiting: Suspended) -> list[Task]:
    """The tasks that a cancellation goes on to."""
    if waiting.way not in ("await", "gather") or is_complete(waiting):
        return []
    return [one for one in waiting.awaits if not one.number]


def reached_in_between(waiting: Suspended) -> list[Task]:
    """The tasks that a cancellation goes on to although ``gather()`` is over.

    One of them has failed, but ``gather()`` hears of it only in the next pass.
    """
    if waiting.way != "gather" or not is_complete(waiting):
        return []
    return [one for one in waiting.awaits if not one.number]


def is_cancelled_through(waiting: Suspended) -> bool:
    """Whether a foreign cancellation has gone on to what a task awaits, and is on its
    way back.
    """
    sent = waiting.cancelled
    return sent is not None and not sent.ours and any(map(_holds, waiting.awaits))


def _holds(task: Task, path: tuple[Task, ...] = ()) -> bool:
    if any(task is one for one in path):  # tasks that await one another in a circle
        return False
    if task.number:
        return isinstance(task.end, Cancelled)
    if task.throw is not None or any(
        isinstance(e, Cancelled) for e in task.cleaning_up
    ):
        return True
    further = reached(task.suspended) if task.suspended is not None else []
    return any(_holds(one, (*path, task)) for one in further)


def is_circle(task: Task, path: tuple[Task, ...] = ()) -> bool:
    """Whether a cancellation of ``task`` would come back to a task on its way."""
    if any(task is one for one in path):
        return True
    further = reached(task.suspended) if task.suspended is not None else []
    return any(is_circle(one, (*path, task)) for one in further)


def is_arriving(
    waiting: Suspended, tasks: Collection[Task], seen: tuple[Suspended, ...] = ()
) -> bool:
    """T4: whether results are on their way that will end this wait."""
    if waiting.group is not None and waiting.group.kind is TaskGroup:
        return not _children(waiting.group, tasks)
    if not waiting.awaits or any(waiting is one for one in seen):
        return False
    if brings_nothing(waiting):
        return False
    on_the_way = [
        one.number > 0 or _ends_soon(one, tasks, (*seen, waiting))
        for one in waiting.awaits
    ]
    return all(on_the_way)


def _ends_soon(
    task: Task, tasks: Collection[Task], seen: tuple[Suspended, ...]
) -> bool:
    waiting = task.suspended
    if waiting is None or task.throw is not None:
        return False
    if task.ready:
        return not (waiting.checkpoint or waiting.is_tie or brings_nothing(waiting))
    return is_arriving(waiting, tasks, seen)


def _children(group: Node, tasks: Collection[Task]) -> list[Task]:
    return [one for one in tasks if one.group is group]
