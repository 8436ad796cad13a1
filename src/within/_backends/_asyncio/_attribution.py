"""Whose cancellation is it? The rules T6, T7 and T22, for a block on asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..._errors import Reason, members

if TYPE_CHECKING:
    from ..._core import Block

Task = asyncio.Task[Any]


def takes_over(outer: Block, inner: Block) -> bool:
    """T7: whether the cancellation that ends ``inner`` goes on to ``outer``.

    Not if ``outer`` had been told before ``inner`` was entered: then ``inner`` is a
    limit on the clean-up. A level-triggered block goes on cancelling its clean-up.
    """
    return not outer.was_told or outer.is_level_triggered or inner.was_told_from_outside


def is_foreign(block: Block, task: Task, exc: BaseException) -> bool:
    """T6: whether somebody else cancelled the task while ``block`` was open."""
    requests = task.cancelling()
    if not block.was_told or requests > block.cancelling_before:
        return requests > block.cancelling_at_entry
    # The others came before ours. A request whose cancellation was swallowed is over
    # (T22), and so is one that a TaskGroup forgot to take back (CPython before 3.13).
    # One whose clean-up ours has interrupted is not.
    return requests > block.cancelling_at_entry and _has_interrupted_another(exc)


def is_ours(exc: BaseException) -> bool:
    return any(map(is_ours, members(exc))) or (
        bool(exc.args) and isinstance(exc.args[0], Reason)
    )


def _has_interrupted_another(exc: BaseException) -> bool:
    """Whether a cancellation that is not ours is in the context of ``exc``."""
    if any(map(_has_interrupted_another, members(exc))):
        return True
    seen = {id(exc)}
    context = exc.__context__
    while context is not None and id(context) not in seen:
        if isinstance(context, asyncio.CancelledError) and not is_ours(context):
            return True
        seen.add(id(context))
        context = context.__context__
    return False
