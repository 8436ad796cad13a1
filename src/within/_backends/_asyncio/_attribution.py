"""Whose cancellation is it? The rules T6, T7 and T22, for a block on asyncio.

A cancellation that we sent carries a :class:`Reason`. It is one of the task's own if it
was sent for a block of the task, or of another task that shares what the task waits
for. It is foreign if it has no reason, or if it was *passed on*: it was sent for a block
of a task that waits for this one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..._core import held_by
from ..._errors import Reason, members, reason_in
from ._waiting import is_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..._core import Block

Task = asyncio.Task[Any]


def takes_over(outer: Block, inner: Block) -> bool:
    """T7: whether the cancellation that ends ``inner`` goes on to ``outer``.

    Not if ``outer`` had been told before ``inner`` was entered: then ``inner`` is a
    limit on the clean-up. A level-triggered block goes on cancelling its clean-up.
    """
    return not outer.was_told or outer.is_level_triggered or inner.was_told_from_outside


def is_own(task: Task, exc: BaseException, reason_of: Any) -> bool:
    """Whether the cancellation ``exc``, or one in a group, is one of the task's own.

    Args:
        task: A task that leaves a block.
        exc: What it leaves the block with.
        reason_of: As for :func:`is_being_cancelled`.
    """
    reason = reason_in(exc)
    if reason is not None and (
        reason.block.task is task or reason is not reason_of(task)
    ):
        return True
    return any(is_own(task, member, reason_of) for member in members(exc))


def has_lost_message(exc: BaseException) -> bool:
    """Whether the cancellation ``exc`` may be ours although it has no reason.

    A shared task gives it to its first waiter only, and a TaskGroup of CPython 3.13 and
    newer cancels again without one. But an error that passes through a frame for the
    second time was kept, and is older than our cancellation.
    """
    if exc.args:
        return False
    seen: set[int] = set()
    traceback = exc.__traceback__
    while traceback is not None and id(traceback.tb_frame) not in seen:
        seen.add(id(traceback.tb_frame))
        traceback = traceback.tb_next
    return traceback is None


def is_being_cancelled(task: Task, reached: Iterable[Any], reason_of: Any) -> bool:
    """Whether a foreign cancellation is on its way to ``task``, or is being handled
    there, so that ours would interrupt it (T6).

    If not, the requests that ``Task.cancelling()`` still counts are over: their
    cancellation was swallowed, or a TaskGroup forgot to take them back, as it does
    before CPython 3.13 (T22).

    Args:
        task: A suspended task.
        reached: All that a cancellation of its waiter reaches.
        reason_of: The reason of the last cancellation that a future got, if it was
            sent for a block.
    """
    passed_on = reason_of(task)
    return any(
        reason is None or reason is passed_on
        for future in (task, *reached)
        for reason in _cancellations_of(future, reason_of)
    )


def is_undisturbed(task: Task, reached: Iterable[Any], reason_of: Any) -> bool:
    """Whether no cancellation at all is on its way to ``task``, or is being handled
    there. The arguments are those of :func:`is_being_cancelled`.
    """
    futures = (task, *reached)
    return not any(True for one in futures for _ in _cancellations_of(one, reason_of))


def _cancellations_of(future: Any, reason_of: Any) -> Iterator[Reason | None]:
    """The reason of each cancellation that is on its way through ``future``."""
    if not is_task(future) or future.done():
        if future.cancelled():
            yield reason_of(future)
        return
    if getattr(future, "_must_cancel", False):
        says = getattr(future, "_cancel_message", None)
        yield says if isinstance(says, Reason) else None
    # Those that its coroutines are handling, in `except` and `finally` clauses.
    for held in held_by(future.get_coro()):
        seen: set[int] = set()
        error = held if isinstance(held, BaseException) else None
        while error is not None and id(error) not in seen:
            if isinstance(error, asyncio.CancelledError):
                yield reason_in(error)
            seen.add(id(error))
            error = error.__context__
