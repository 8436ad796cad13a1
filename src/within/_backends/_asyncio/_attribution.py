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
    return any(map(is_ours, members(exc))) or (
        bool(exc.args) and isinstance(exc.args[0], Reason)
    )


def is_foreign(block: Block, task: Task, exc: BaseException) -> bool:
    """T6: whether other code cancelled the task while ``block`` was open."""
    was_told = block.was_told and is_ours(exc)
    before = block.cancelling_before if was_told else block.cancelling_at_entry
    return task.cancelling() > before


def is_being_cancelled(task: Task, reached: Iterable[Any], by_us: Any) -> bool:
    """Whether a cancellation by other code is on its way to ``task``, or is being
    handled there, so that ours would interrupt it (T6).

    If not, the requests that ``Task.cancelling()`` still counts are over: their
    cancellation was swallowed, or a TaskGroup forgot to take them back, as it does
    before CPython 3.13 (T22).

    Args:
        task: A suspended task.
        reached: All that a cancellation of its waiter reaches.
        by_us: Whether a future was cancelled because of a deadline.
    """
    return (
        getattr(task, "_must_cancel", False)
        or _handles_a_cancellation(task)
        or any(_is_cancelled(future) and not by_us(future) for future in reached)
    )


def _is_cancelled(future: Any) -> bool:
    if not is_task(future) or future.done():
        cancelled: bool = future.cancelled()
        return cancelled
    return getattr(future, "_must_cancel", False) or _handles_a_cancellation(future)


def _handles_a_cancellation(task: Task) -> bool:
    """Whether a coroutine of ``task`` is in a ``finally`` or ``except`` clause because
    of a cancellation that is not ours.
    """
    for found in held_by(task.get_coro()):
        seen: set[int] = set()
        error = found if isinstance(found, BaseException) else None
        while error is not None and id(error) not in seen:
            if isinstance(error, asyncio.CancelledError) and not is_ours(error):
                return True
            seen.add(id(error))
            error = error.__context__
    return False
