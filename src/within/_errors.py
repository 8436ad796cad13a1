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
    """The message of a cancellation that we requested, and the block that it is for.

    asyncio passes the object on unchanged. So its type tells our cancellations from all
    others, and ``block`` tells one of ours from another.
    """

    __slots__ = ("block",)
    block: Block

    def __reduce__(self) -> Any:
        return str, (str(self),)  # in another process there is no such block


def reason(block: Block, now: float) -> Reason:
    """Why the block is cancelled, as the message of asyncio's ``CancelledError``.

    Inside the block, that error says nothing else, so the message names the deadline
    (T10).
    """
    found = Reason(_reason(block, now))
    found.block = block
    return found


def _reason(block: Block, now: float) -> str:
    name = "a block" if block.name is None else repr(block.name)
    left = block.when - now
    if block.was_cancelled or left > 0:
        rest = f", {left:.3g} s before its deadline" if 0 < left < math.inf else ""
        return f"{name} was ended by cancel(){rest}"
    if block.delay is not None:
        return f"{name} exceeded its limit of {block.delay:g} s"
    return f"{name} exceeded its deadline {block.when:.12g}"


def message(block: Block, now: float) -> str:
    """Name, limit and lateness, for the error that the block raises (T10)."""
    late = now - block.when
    says = _reason(block, now)
    return f"{says} (ended {late:.3g} s late)" if late >= 0 else says


def reason_in(cancellation: BaseException) -> Reason | None:
    """Our message in ``cancellation``, if we sent it; never on trio."""
    says = cancellation.args[0] if cancellation.args else None
    return says if isinstance(says, Reason) else None


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


def interrupted_by(error: BaseException | None, block: Block) -> Completed[Any] | None:
    """The command that was cut short by ``error``, or by an exception behind it (T25).

    ``error`` is the exception that ends ``block``.
    """
    is_group = isinstance(error, BaseExceptionGroup)
    if error is None or (error.__context__ is None and not is_group):
        return getattr(error, "_within_interrupted", None)  # the ordinary case
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        found = pending.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            completed = getattr(found, "_within_interrupted", None)
            if completed is not None and not _is_of_block_around(found, block):
                return cast("Completed[Any]", completed)
            pending += members(found)
            # The error of another block has an attribute of its own for this.
            if not hasattr(found, "interrupted"):
                pending.append(found.__context__)
    return None


def _is_of_block_around(cancellation: BaseException, block: Block) -> bool:
    """Whether it was sent for a block around ``block``, such as a limit on clean-up."""
    found = reason_in(cancellation)
    if found is None:
        return False
    around = block.parent
    while around is not None and around is not found.block:
        around = around.parent
    return around is not None


def members(error: BaseException) -> tuple[BaseException, ...]:
    """The members of a group; nothing for any other exception."""
    is_group = isinstance(error, BaseExceptionGroup)
    return cast("BaseExceptionGroup[Any]", error).exceptions if is_group else ()
