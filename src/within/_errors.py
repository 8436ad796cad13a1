"""The messages of expired blocks, and how they are attached to exceptions.

This module is told the time and the state of the block. It asks neither the clock nor
a backend.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import Block
    from ._results import Completed


class Reason(str):
    """The message of a cancellation that we requested.

    asyncio passes the object on unchanged, so its type tells our cancellations from
    all others.
    """

    __slots__ = ()


def reason(block: Block, now: float) -> Reason:
    """Why the block is cancelled. On asyncio, inside the block, this is all that the
    ``CancelledError`` says, so it names the deadline (T10).
    """
    name = "a block" if block.name is None else repr(block.name)
    left = block.when - now
    if block.was_cancelled or left > 0:
        rest = f", {left:.3g} s before its deadline" if 0 < left < math.inf else ""
        return Reason(f"{name} was ended by cancel(){rest}")
    if block.delay is not None:
        return Reason(f"{name} exceeded its limit of {block.delay:g} s")
    return Reason(f"{name} exceeded its deadline {block.when:.12g}")


def message(block: Block, now: float) -> str:
    """Name, limit and lateness, for the error that the block raises (T10)."""
    late = now - block.when
    says = str(reason(block, now))
    return f"{says} (ended {late:.3g} s late)" if late >= 0 else says


def explain(
    error: BaseException,
    exceeded: Callable[[], BaseException],
    cancelled: type[BaseException],
    *,
    is_certain: bool = False,
) -> bool:
    """Say in the context chain of ``error`` which deadline is behind it (T9).

    The deadline goes just above the cancellation that it caused. The traceback then
    reads: cancelled here, because of this deadline, and then ``error`` was raised. In
    a group, each member with a cancellation behind it gets the deadline, and so does
    the group itself.

    Args:
        error: What was raised while the expired block unwound.
        exceeded: Makes the exception that the block would have raised.
        cancelled: The loop's cancellation exception.
        is_certain: The block's cancellation is known to be behind ``error``, even if
            the chain does not show it.

    Returns:
        Whether the block's cancellation is behind ``error``. If not, nothing changes.
    """
    for member in members(error):
        is_certain = explain(member, exceeded, cancelled) or is_certain
    seen = {id(error)}
    last: BaseException = error
    context = last.__context__
    while context is not None and not isinstance(context, cancelled):
        if id(context) in seen:
            return is_certain  # other code has made the chain circular
        seen.add(id(context))
        last, context = context, context.__context__
    if context is None and not is_certain:
        return False
    inserted = exceeded()
    inserted.__cause__ = inserted.__context__ = context
    last.__context__ = inserted
    return True


def note_interrupted(
    cancellation: BaseException, completed: Completed[Any], note: str = ""
) -> None:
    """Attach what a command had done when ``cancellation`` cut it short (T25).

    It travels with the exception to the block that ends, so neither the loop nor any
    other task has to know about it. The error of that block gets the ``note``.
    """
    cancellation._within_interrupted = completed  # type: ignore[attr-defined]
    completed._within_note = note  # type: ignore[attr-defined]


def add_note_of(completed: Completed[Any] | None, error: BaseException) -> None:
    """Add the note about what was interrupted, if there is one."""
    if note := getattr(completed, "_within_note", ""):
        error.add_note(note)


def interrupted_by(error: BaseException | None) -> Completed[Any] | None:
    """What ``error``, or an exception behind it, has cut short (T25)."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        found = pending.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            completed = getattr(found, "_within_interrupted", None)
            if completed is not None:
                return cast("Completed[Any]", completed)
            pending += members(found)
            if not hasattr(found, "interrupted"):  # the error of another block
                pending.append(found.__context__)
    return None


def members(error: BaseException) -> tuple[BaseException, ...]:
    """The members of a group; nothing for any other exception."""
    is_group = isinstance(error, BaseExceptionGroup)
    return cast("BaseExceptionGroup[Any]", error).exceptions if is_group else ()
