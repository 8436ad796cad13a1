"""What is open on one asyncio loop."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from ..._core import OpenBlocks
from ..._errors import reason_in
from ._alarm import Alarm
from ._attribution import has_lost_message, is_own, takes_over
from ._descriptors import Descriptors
from ._pursuit import Pursuits
from ._scopes import ANYIO, anyio_scopes
from ._waiting import current_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._core import Block

Task = asyncio.Task[Any]
Group = BaseExceptionGroup[BaseException]

# The block in which a task was started, for T17. The blocks that a task itself has open
# are found by task (`OpenBlocks`), because two tasks may share a context, and one task
# may use several. A block that has been left stays in the variable, because
# `ContextVar.set()` is the most expensive step of entering a block; readers skip it.
_inherited: ContextVar[Block | None] = ContextVar("within", default=None)


class AsyncioBackend:
    """One running loop of asyncio or uvloop."""

    name = "asyncio"
    cancelled: type[BaseException] = asyncio.CancelledError

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.open_blocks = OpenBlocks()
        # The same dictionaries, as attributes of our own because each block uses them.
        self._young, self._old = self.open_blocks.young, self.open_blocks.old
        self.alarm = Alarm(loop, self.open_blocks.age, self._expire)
        self.pursuits = Pursuits(loop, self.open_blocks)
        self.descriptors = Descriptors(loop)
        # A dictionary's get() once there can be scopes of anyio. Each block uses it.
        self._state_of: Callable[[ref[Task]], Any] | None = None
        self.wait_readable = self.descriptors.readable
        self.wait_writable = self.descriptors.writable
        self.notify_closing = self.descriptors.notify_closing
        self.wait_for_call = self.descriptors.call
        self.wake_on_signals = self.descriptors.wake_on_signals
        self.caller_from_threads = self.descriptors.caller_from_threads

    def is_running_here(self) -> bool:
        return asyncio._get_running_loop() is self._loop

    # -- the clock ---------------------------------------------------------

    def current_time(self) -> float:
        return self._loop.time()

    def has_virtual_time(self) -> bool:
        return hasattr(self._loop, "virtual_clock")

    # -- blocks ------------------------------------------------------------

    def enter(self, block: Block) -> None:
        # Through its module: trio-asyncio replaces current_task() there.
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError(
                f"{block!r} was entered outside a task (in a callback of the loop?): "
                "start one with loop.create_task() or asyncio.run()"
            )
        now = self._loop.time()
        if block.delay is not None:
            block.when = now + block.delay
        when = block.when
        if requests := task.cancelling():
            # T6: a cancel() that was requested before entry but not delivered yet
            # counts as coming from inside the block.
            block.cancelling_at_entry = requests - getattr(task, "_must_cancel", False)
        parent = self._young.get(task)
        if parent is None and self._old:
            parent = self._old.get(task)
        if parent is None:
            parent = _inherited.get()
            while parent is not None and parent.task is None:
                parent = parent.parent
            if parent is not None:
                parent = self._inherited_by(task, parent)
        block.parent = parent
        if self._state_of is not None:
            state = self._state_of(ref(task))
            if state is not None and state.cancel_scope is not None:
                self._note_scope(block, task)
        elif ANYIO in sys.modules:
            self._note_scope(block, task)
        if when < self.alarm.rings_at and now < when:
            self.alarm.set(when)
        _inherited.set(block)
        # T23: the block is open from here on. No signal handler runs between these two
        # stores and the return to the caller. (If the block has expired already, one
        # may; then Timeout.__enter__() abandons the block.)
        block.task = task
        self._young[task] = block
        if when <= now or block.has_expired:
            block.has_expired = True
            self.pursuits.begin_in_next_pass(task)

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        task: Any = block.task
        if task is None:  # abandoned meanwhile
            return exc
        try:
            in_place = asyncio.current_task() is task
        except RuntimeError:  # no loop runs here: in another thread, say
            in_place = False
        parent = block.parent
        if in_order := self._young.get(task) is block:
            if parent is not None and parent.task is task and parent.entry is None:
                self._young[task] = parent
            else:
                del self._young[task]
        else:
            in_order = self.open_blocks.close(block, task)
            self.alarm.discard(block)
        if parent is not None and parent.task is None:
            # A closed block keeps a parent, so that the tasks that were started inside
            # still find the open blocks around it.
            block.parent = _first_open(parent)
        left = exc
        if not (in_place and in_order):
            self._left_wrongly(block, task, exc, in_order)
        elif block.has_expired or block.is_shield or block.cancel_scope is not None:
            left = self._settle(block, task, exc)
        block.task = None  # T23: until here, abandon() has something to take back
        return left

    def abandon(self, block: Block) -> None:
        task: Task | None = block.task
        if task is None and block.anyio_shield is not None:
            task = current_task()  # interrupted after the shield was opened
        if task is not None:
            self.open_blocks.close(block, task)
            self.alarm.discard(block)
            block.task = None
            self._release(block, task)

    def reschedule(self, block: Block, deadline: float) -> bool:
        if block.has_expired:
            return False
        block.when = deadline
        # T5: a deadline that has passed strikes at the first suspension. A timer would
        # ring one pass too late for that.
        if deadline <= self._loop.time():
            self._expire([block])
        else:
            self.alarm.move(block)
        return True

    def cancel(self, block: Block) -> None:
        if not block.has_expired:
            self._expire([block])

    def effective_deadline(self) -> float:
        task = current_task()
        if task is None:
            return math.inf
        block = self.open_blocks.innermost(task) or self._inherited_by(
            task, _inherited.get()
        )
        nearest = math.inf
        while block is not None:
            if block.task is not None:
                # Judged by the scopes of the task that asks: a child may run in a
                # shield of its parent.
                if self.pursuits.is_held(block, task):
                    break
                if block.has_expired:
                    return -math.inf
                nearest = min(nearest, block.when)
                if block.is_shield:
                    break
            block = block.parent
        anyio = anyio_scopes()
        return (
            nearest
            if anyio is None
            else min(nearest, anyio.current_effective_deadline())
        )

    # -- behind the blocks -------------------------------------------------

    def _note_scope(self, block: Block, task: Task) -> None:
        """Note the anyio scope around a block, to recognise shields inside it (T15)."""
        anyio = anyio_scopes()
        assert anyio is not None
        self._state_of = anyio.state_of
        if (scope := anyio.innermost(task)) is not None:
            if block.is_shield:
                scope = block.anyio_shield = anyio.shield()  # T14
                scope.__enter__()
            block.cancel_scope = scope

    def _inherited_by(self, task: Task, block: Block | None) -> Block | None:
        """The innermost open block in which ``task`` was started (T17)."""
        while block is not None and not (
            block.task is not None and self._may_reach(block.task, task)
        ):
            block = block.parent
        return block

    def _may_reach(self, owner: Task, task: Task) -> bool:
        """Whether a block of ``owner`` that ``task`` sees in its context is around it.

        T24: not if the context was copied into another loop. Nor if both tasks share
        one context: then nothing tells which of them was started first.
        """
        if owner.done() or owner.get_loop() is not self._loop:
            return False
        context_of: Any = getattr(asyncio.Task, "get_context", None)  # since 3.12
        return context_of is None or context_of(owner) is not context_of(task)

    def _expire(self, blocks: list[Block]) -> None:
        # T7: all blocks first, then their tasks. If two blocks of a task are due in one
        # pass, the task is cancelled for the outer one.
        for block in blocks:
            if block.task is not None:  # the garbage collector may have closed it
                block.has_expired = True
                self.alarm.discard(block)
        failed: BaseException | None = None
        # T4: once for each task, so that a pass counts once. Cancelling an earlier task
        # may close a block of a later one.
        for task in dict.fromkeys([block.task for block in blocks]):
            if task is not None:
                try:
                    self.pursuits.begin(task)
                except BaseException as error:  # noqa: BLE001  (a waiter's own cancel())
                    failed = error
        if failed is not None:
            try:
                raise failed
            finally:
                del failed  # T8: its traceback holds this frame

    def _settle(
        self, block: Block, task: Task, exc: BaseException | None
    ) -> BaseException | None:
        """Close a block that has expired, is a shield, or is in an anyio scope."""
        if self._is_ended_by_its_deadline_alone(block, task, exc):
            block.owes_uncancel = False
            task.uncancel()
            return None
        if block.is_shield:
            self._lower_shield(block, task, exc)
        block.cancel_scope = None
        return self._without_own(block, task, exc)

    def _is_ended_by_its_deadline_alone(
        self, block: Block, task: Task, exc: BaseException | None
    ) -> bool:
        """Whether this is the ordinary end of an expired block, so that none of the
        steps below has anything to do.

        Our cancellation arrives unchanged, the task has no other block or scope open,
        and no other code has cancelled it since.
        """
        around = block.parent
        return (
            block.owes_uncancel
            and block.was_told
            and type(exc) is asyncio.CancelledError
            and (says := reason_in(exc)) is not None
            and says.block is block
            and task.cancelling() == block.cancelling_before + 1
            and (around is None or around.task is not task)
            and block.cancel_scope is None
            and not self._is_in_a_scope(task)
        )

    def _is_in_a_scope(self, task: Task) -> bool:
        """Whether ``task`` is in a scope of anyio."""
        if self._state_of is None:
            return False
        # anyio keeps its state of a task after the last scope was left.
        state = self._state_of(ref(task))
        return state is not None and state.cancel_scope is not None

    def _without_own(
        self, block: Block, task: Task, exc: BaseException | None
    ) -> BaseException | None:
        """What is left of ``exc`` without the cancellation of ``block``."""
        if block.owes_uncancel:
            block.owes_uncancel = False
            task.uncancel()
        if not block.has_expired:
            return exc
        if isinstance(exc, asyncio.CancelledError):
            return None if self._is_own(block, task, exc) else exc
        if isinstance(exc, BaseExceptionGroup):  # T9
            return self._without_own_in_group(block, task, cast("Group", exc))
        return exc

    def _without_own_in_group(
        self, block: Block, task: Task, group: Group
    ) -> BaseException | None:
        cancellations, rest = group.split(asyncio.CancelledError)
        if cancellations is not None and self._is_own(block, task, cancellations):
            return rest
        return group

    def _is_own(self, block: Block, task: Task, exc: BaseException) -> bool:
        """Whether the cancellation ``exc`` was sent for ``block``, and ends with it."""
        is_ours = is_own(task, exc, self.pursuits.reason_of)
        if not (block.was_told or is_ours):
            return False
        # T6: has other code cancelled the task since we did, or since entry?
        since_ours = block.was_told and (is_ours or has_lost_message(exc))
        before = block.cancelling_before if since_ours else block.cancelling_at_entry
        foreign = task.cancelling() > before
        if not block.is_shield:
            outer = self.pursuits.expired_blocks_reaching(task)
            if outer and not foreign and any(takes_over(x, block) for x in outer):
                self.pursuits.tell(task, outer)  # T7
                return False
            anyio = anyio_scopes()
            may_claim = is_ours or not foreign  # not a cancellation by other code (T6)
            if anyio is not None and may_claim and anyio.claim(task, exc):
                return False
        return not foreign

    def _lower_shield(
        self, block: Block, task: Task, exc: BaseException | None
    ) -> None:
        try:
            if block.anyio_shield is not None:
                kind = None if exc is None else type(exc)
                block.anyio_shield.__exit__(kind, exc, None)
                block.anyio_shield = None
        finally:
            self._resume(task)  # T14: the deadlines that have waited strike now

    def _resume(self, task: Task) -> None:
        if not self.pursuits.expired_blocks_reaching(task, even_if_held=True):
            return
        if self.is_running_here():
            self.pursuits.begin(task)
        else:  # the garbage collector closed a generator in another thread (T20)
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._resume, task, context=Context())

    def _release(self, block: Block, task: Task) -> None:
        """Take back what was done for a block that was not left properly."""
        if block.owes_uncancel:
            block.owes_uncancel = False
            task.uncancel()
        if block.anyio_shield is not None:
            scope, block.anyio_shield = block.anyio_shield, None
            if (anyio := anyio_scopes()) is not None:
                anyio.abandon(task, scope)
        block.cancel_scope = None
        self._resume(task)

    def _left_wrongly(
        self, block: Block, task: Task, exc: BaseException | None, in_order: bool
    ) -> None:
        """T13: the block is closed all the same. Its deadline must not strike a task
        that has already left it.
        """
        self._release(block, task)
        if isinstance(exc, GeneratorExit):
            return  # its coroutine or generator was dropped: there is nobody to tell
        if current_task() is not task:
            raise RuntimeError(
                f"{block!r} was left in another task, not in the one that entered it "
                f"({task!r}): enter and leave it in the same task (a generator that "
                "yields inside the block may be closed in another one)"
            ) from exc
        if not in_order:
            if exc is not None:
                return  # it says more than the wrong order
            raise RuntimeError(
                f"{block!r} was left before a block that was entered inside it: "
                "leave blocks in the reverse order of entering them"
            )


def _first_open(block: Block | None) -> Block | None:
    while block is not None and block.task is None:
        block = block.parent
    return block
