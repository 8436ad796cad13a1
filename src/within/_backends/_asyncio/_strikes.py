"""Cancelling a task for its blocks, and what is noted about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..._errors import Reason, reason
from ._attribution import is_being_cancelled, is_undisturbed
from ._groups import GROUPS_SWALLOW
from ._scopes import anyio_scopes
from ._waiting import (
    is_task,
    nothing_is_known_behind,
    reached_by_cancel,
    throw_cancellation,
    waiter_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..._core import Block, OpenBlocks

Task = asyncio.Task[Any]


class Strikes:
    """The cancellations of one loop's tasks that our deadlines have caused."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, open_blocks: OpenBlocks
    ) -> None:
        self.loop = loop
        self.open_blocks = open_blocks
        # Tasks that a deadline of another task has cancelled, with the reason. asyncio
        # gives it to the first waiter of a cancelled task only.
        self._passed_on: WeakKeyDictionary[Task, Reason] = WeakKeyDictionary()

    def expired_blocks_reaching(
        self, task: Task, *, even_if_held: bool = False
    ) -> list[Block]:
        """The expired blocks whose cancellation can reach ``task``, outermost first.

        Args:
            task: A task.
            even_if_held: Include those that a shield of anyio holds off (T15).
        """
        found: list[Block] = []
        block = self.open_blocks.innermost(task)
        while block is not None and block.task is task:
            if block.has_expired and (even_if_held or not self.is_held(block, task)):
                found.append(block)
            if block.is_shield:  # T14: holds off the blocks around it, not itself
                break
            block = block.parent
        if len(found) > 1:
            found.reverse()
        return found

    def without_held(self, blocks: list[Block], task: Task) -> list[Block]:
        """Those of ``blocks`` that no shield of anyio holds off (T15)."""
        if anyio_scopes() is None:
            return blocks
        return [block for block in blocks if not self.is_held(block, task)]

    def is_held(self, block: Block, task: Task) -> bool:
        """Whether a shielded scope of anyio holds ``block`` off from ``task`` (T15)."""
        anyio = anyio_scopes()
        return anyio is not None and anyio.is_shielded(task, block.cancel_scope)

    def reason_of(self, future: Any) -> Reason | None:
        """The reason of the last cancellation of ``future``, if it was for a block.

        For a task, only a cancellation that was passed on to it counts.
        """
        if is_task(future):
            return self._passed_on.get(future)
        says = getattr(future, "_cancel_message", None)
        return says if isinstance(says, Reason) else None

    def was_cancelled_by_us(self, future: Any) -> bool:
        """Whether ``future`` is done only because one of our deadlines cancelled it."""
        if not future.done():
            return False
        if (children := getattr(future, "_children", None)) is not None:
            # gather() is never cancelled: it raises the cancellation of a child.
            raises = None if future.cancelled() else future.exception()
            is_cancelled = isinstance(raises, asyncio.CancelledError)
            return is_cancelled and any(map(self.was_cancelled_by_us, children))
        return future.cancelled() and self.reason_of(future) is not None

    def strike_at_once(self, task: Task) -> bool:
        """Cancel ``task`` in the ordinary case, in one go; False in any other.

        In the ordinary case only the innermost block has expired, it cancels once,
        no other code has cancelled the task, and it waits for a plain future with nothing
        on its way. Everything else is left to a pursuit and :meth:`strike`.
        """
        block = self.open_blocks.innermost(task)
        if block is None or not block.has_expired or block.is_level_triggered:
            return False
        waiter = waiter_of(task)
        if type(waiter) is not asyncio.Future or type(task) is not asyncio.Task:
            return False
        requests = block.cancelling_at_entry
        if (
            block.was_told
            or GROUPS_SWALLOW
            or waiter.done()
            or task.cancelling() != requests
            or not nothing_is_known_behind(waiter, task)
            or self.is_held(block, task)
            or self._others_have_expired(block, task)
        ):
            return False
        block.was_told = block.owes_uncancel = True
        block.cancelling_before = requests
        task.cancel(reason(block, self.loop.time()))
        return True

    def _others_have_expired(self, block: Block, task: Task) -> bool:
        around = block.parent
        if around is None or around.task is not task:
            return False
        return len(self.expired_blocks_reaching(task, even_if_held=True)) > 1

    def strike(self, task: Task, waiter: Any, blocks: Sequence[Block]) -> None:
        """Cancel ``task`` for ``blocks``, which are due, outermost first."""
        target = target_of(blocks)
        if target.owes_uncancel:
            # One request at a time is enough, however often it is repeated.
            target.owes_uncancel = False
            task.uncancel()
        reached, is_circle = reached_by_cancel(waiter)
        # T6: this takes a cancellation by other code, and even then it is rare.
        is_foreign = task.cancelling() > target.cancelling_at_entry
        if is_foreign:
            is_foreign = is_being_cancelled(task, reached, self.reason_of)
            if target.was_told and not target.met_foreign:
                self._forget_swallowed(task, target, reached)
        self.tell(task, blocks, is_foreign=is_foreign)
        says = reason(target, self.loop.time())
        message = _undelivered_message(task, says) if is_foreign else says
        for future in reached:
            if is_task(future):
                self._passed_on[future] = says
        if is_circle:
            throw_cancellation(task, waiter, message)
            return
        target.owes_uncancel = True
        try:
            task.cancel(message)
        except BaseException:
            # T22: the waiter's own cancel() has failed, but the limit holds.
            throw_cancellation(task, waiter, message)
            raise

    def _forget_swallowed(self, task: Task, target: Block, reached: list[Any]) -> None:
        """T22: a cancellation by other code that the body has swallowed is over, if it
        came later than ours.
        """
        if is_undisturbed(task, reached, self.reason_of):
            self.take_back(task, [target])

    def tell(
        self, task: Task, blocks: Sequence[Block], *, is_foreign: bool = False
    ) -> None:
        """Note that one cancellation of ``task`` is for all of ``blocks``.

        Args:
            task: The task that is cancelled.
            blocks: Expired blocks of the task, outermost first.
            is_foreign: A cancellation from elsewhere is being delivered or handled.
        """
        told = {id(block) for block in blocks}
        requests = task.cancelling()
        for block in self.open_blocks.of(task):
            requests -= block.owes_uncancel  # taken back before `block` is left
            if id(block) in told and not block.was_told:
                block.was_told = True
                block.met_foreign = is_foreign
                at_entry = block.cancelling_at_entry
                block.cancelling_before = at_entry if is_foreign else requests
            if block is blocks[0]:
                break
            block.was_told_from_outside = True  # T7

    def note_foreign(self, task: Task, blocks: Iterable[Block]) -> None:
        """Note that other code has cancelled ``task`` since we told ``blocks``, before
        it ran (T6). The body saw one cancellation for both.
        """
        reached, _ = reached_by_cancel(waiter_of(task))
        # A foreign cancellation that is still to be seen came after the task had run.
        if not is_being_cancelled(task, reached, self.reason_of):
            for block in blocks:
                block.met_foreign = True

    def take_back(self, task: Task, blocks: Sequence[Block]) -> None:
        """Undo :meth:`tell`: the cancellation was lost (T22). It is sent again under the
        same request.
        """
        for block in blocks:
            if block.task is task:
                block.was_told = False


def target_of(blocks: Sequence[Block]) -> Block:
    """The block that a cancellation is requested for: the outermost not told yet."""
    for block in blocks:
        if not block.was_told:
            return block
    return blocks[0]


def _undelivered_message(task: Task, says: Reason) -> Any:
    """The message of a cancellation by other code that has not been delivered, or else
    ``says``.

    T6: that cancellation keeps its message, or a scope of anyio would take it for its
    own.
    """
    is_undelivered = getattr(task, "_must_cancel", False)
    return getattr(task, "_cancel_message", None) if is_undelivered else says
