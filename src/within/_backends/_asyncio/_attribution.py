"""Whose cancellation is it? The rules T6, T7 and T22, for a block on asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..._core import held_by
from ..._errors import Reason, members
from ._waiting import is_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._core import Block

Task = asyncio.Task[Any]


def takes_over(outer: Block, inner: Block) -> bool:
    """T7: whether the cancellation that ends ``inner`` goes on to ``outer``.

    Not if ``outer`` had been told before ``inner`` was entered: then ``inner`` is a
    limit on the clean-up. A level-triggered block goes on cancelling its clean-up.
    """
    return not outer.was_told or outer.is_level_triggered or inner.was_told_from_outside


def is_ours(exc: BaseException) -> bool:
    """Whether the cancellation ``exc``, or one in a group, was sent for a block."""
    if exc.args and isinstance(exc.args[0], Reason):
        return True
    return any(map(is_ours, members(exc)))


def is_foreign(block: Block, task: Task, exc: BaseException) -> bool:
    """T6: whether somebody else cancelled the task while ``block`` was open."""
    was_told = block.was_told and is_ours(exc)
    before = block.cancelling_before if was_told else block.cancelling_at_entry
    return task.cancelling() > before


def is_being_cancelled(
    task: Task, reached: Iterable[Any], by_us: Any, *, is_passed_on: bool
) -> bool:
    """Whether a cancellation by somebody else is on its way to ``task``, or is being
    handled there, so that ours would interrupt it (T6).

    If not, the requests that ``Task.cancelling()`` still counts are over: their
    cancellation was swallowed, or a TaskGroup forgot to take them back, as it does
    before CPython 3.13 (T22).

    Args:
        task: A suspended task.
        reached: All that a cancellation of its waiter reaches.
        by_us: Whether a future was cancelled because of a deadline.
        is_passed_on: A deadline of another task, which awaits this one, has cancelled
            this one. To the blocks of this one that is somebody else.
    """
    return (
        getattr(task, "_must_cancel", False)
        or _handles_a_cancellation(task, is_passed_on)
        or any(
            _is_cancelled(future, is_passed_on) and (is_passed_on or not by_us(future))
            for future in reached
        )
    )


def _is_cancelled(future: Any, is_passed_on: bool) -> bool:
    if not is_task(future) or future.done():
        cancelled: bool = future.cancelled()
        return cancelled
    must_cancel: bool = getattr(future, "_must_cancel", False)
    return must_cancel or _handles_a_cancellation(future, is_passed_on)


def _handles_a_cancellation(task: Task, is_passed_on: bool) -> bool:
    """Whether a coroutine of ``task`` is in a ``finally`` or ``except`` clause because
    of a cancellation that was not sent for a block of this task.
    """
    for found in held_by(task.get_coro()):
        seen: set[int] = set()
        error = found if isinstance(found, BaseException) else None
        while error is not None and id(error) not in seen:
            is_cancellation = isinstance(error, asyncio.CancelledError)
            if is_cancellation and (is_passed_on or not is_ours(error)):
                return True
            seen.add(id(error))
            error = error.__context__
    return False
