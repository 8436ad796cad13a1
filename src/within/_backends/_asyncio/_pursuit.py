"""Cancelling tasks at the right moment.

``Task.cancel()`` is a blunt tool. Called while a result is on its way to the task, it
throws that result away. Called on a task that is running, it leaves a mark that may
outlive the block. A pursuit waits for a moment at which the task is suspended and
nothing is on its way.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from ._groups import GROUPS_SWALLOW, awaited_by, has_raised, is_open, open_groups
from ._strikes import Strikes, target_of
from ._waiting import (
    is_running,
    passes_until_done,
    waiter_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._core import Block, OpenBlocks

Task = asyncio.Task[Any]

# How many passes of the loop a task is given to take a result that has arrived (T4),
# beyond those that the result needs to get there. Some other task may complete the
# task's next await in every pass, before we can look; the task must not run on forever.
_EXTRA_PASSES = 3

# T16: how often a level-triggered block is cancelled in one pass after another. A task
# that has not left it by then refuses to, and pauses begin. The number is large because
# a lot of clean-up does react: an exit stack suspends once for each callback.
_STRIKES = 100

# The first pause, in seconds; each one is twice as long as the one before. A task that
# waits for a new future did react, and gets no pause beyond the longest.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 1.0

# The longest pause while the task is running, in seconds. It runs a nested loop
# (nest_asyncio), and must be cancelled soon after that has ended (T2).
_LONGEST_WHILE_RUNNING = 0.01


class Verdict(Enum):
    """What a look at the task shows."""

    SETTLED = auto()  # every expired block has been told
    HELD = auto()  # T15: a shield of anyio holds them all off
    RUNNING = auto()
    ARRIVING = auto()  # T4: a result is on its way
    UNCERTAIN = auto()  # T22: a TaskGroup may drop the cancellation yet
    REFUSING = auto()  # T16: the task does not react
    READY = auto()


class Pursuits(Strikes):
    """All the tasks of a loop that are to be cancelled."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, open_blocks: OpenBlocks
    ) -> None:
        super().__init__(loop, open_blocks)
        self._by_task: dict[Task, _Pursuit] = {}
        self._soon: set[Task] = set()  # for which begin_in_next_pass() was called
        self.context = Context()  # T8: a handle keeps the context it is made in

    def __len__(self) -> int:
        return len(self._by_task) + len(self._soon)

    def begin(self, task: Task) -> None:
        """Bring to ``task`` the cancellation of the blocks that have expired."""
        pursuit = self._by_task.get(task)
        if pursuit is None:
            if self.strike_at_once(task):
                return
            pursuit = self._by_task[task] = _Pursuit(self, task)
        pursuit.was_running = False  # the next look comes without a pause
        pursuit.step()

    def begin_in_next_pass(self, task: Task) -> None:
        """The same for the running task, which may be suspended by then.

        Whatever the loop has already scheduled for the task runs first.
        """
        if task in self._by_task:
            self.begin(task)
        elif task not in self._soon:
            self.loop.call_soon(self._begin_now, task, context=self.context)
            self._soon.add(task)  # T23: only once the loop has been asked

    def _begin_now(self, task: Task) -> None:
        self._soon.discard(task)
        if task not in self._by_task and not self.strike_at_once(task):
            pursuit = self._by_task[task] = _Pursuit(self, task)
            pursuit.was_running = True
            pursuit.step()

    def end(self, task: Task) -> None:
        self._by_task.pop(task, None)
        if task.done():  # it may have been interrupted while leaving a block (T23)
            self.open_blocks.forget(task)

    def is_on(self, pursuit: _Pursuit) -> bool:
        return self._by_task.get(pursuit.task) is pursuit


class _Pursuit:
    """Brings one task the cancellation that its expired blocks owe it."""

    __slots__ = (
        "_groups",
        "_handle",
        "_is_striking",
        "_must_look_again",
        "_newly_told",
        "_passes",
        "_patience",
        "_pause",
        "_pursuits",
        "_requests",
        "_strikes",
        "_struck",
        "_told",
        "_watched",
        "task",
        "was_running",
    )

    def __init__(self, pursuits: Pursuits, task: Task) -> None:
        self._pursuits = pursuits
        self.task = task
        self._handle: asyncio.Handle | None = None
        self._passes = 0  # that we have waited for a result to arrive
        self._patience = 0  # how many we wait at most
        self._pause = _FIRST_PAUSE
        self._strikes = 0
        self._struck: Any = None  # the waiter that the last cancel() went to
        self._watched: Any = None  # the waiter whose end calls us
        self._told: Sequence[Block] = ()  # by the strikes that may be dropped
        self._newly_told: list[Block] = []  # since the last pass
        self._requests = 0  # Task.cancelling() after the last strike
        self._groups: Sequence[Any] = ()  # TaskGroups that may drop that cancellation
        self.was_running = False
        self._is_striking = False
        self._must_look_again = False

    def _on_turn(self) -> None:
        self._handle = None
        if self._newly_told:
            if self.task.cancelling() > self._requests:
                self._pursuits.note_foreign(self.task, self._newly_told)
            self._newly_told.clear()
        self.step()

    def step(self) -> None:
        """Cancel the task if this is the moment, else arrange for another look."""
        if self._is_striking:  # called from the cancel() of a waiter
            self._must_look_again = True
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._groups:
            self._check_groups()
        owed = self._pursuits.expired_blocks_reaching(self.task, even_if_held=True)
        due = [block for block in owed if _is_due(block)]
        blocks = self._pursuits.without_held(due, self.task)
        waiter = waiter_of(self.task)
        verdict = self._look(waiter, owed, due, blocks)
        match verdict:
            case Verdict.SETTLED:
                self._pursuits.end(self.task)
            case Verdict.HELD:
                self._look_when_done(waiter)
            case Verdict.UNCERTAIN:
                self._look_when_done(awaited_by(self._groups) or waiter)
            case Verdict.RUNNING:
                self._look_soon()
            case Verdict.ARRIVING:
                self._passes += 1
                self._look_in_next_pass()
            case Verdict.REFUSING:
                longest = math.inf if waiter is self._struck else _LONGEST_PAUSE
                self._struck = None
                self._look_when_done(waiter)
                self._look_after_pause(longest)
            case Verdict.READY:
                self._strike(waiter, due, blocks)

    def _look(
        self,
        waiter: Any,
        owed: Sequence[Block],
        due: Sequence[Block],
        blocks: Sequence[Block],
    ) -> Verdict:
        """Decide whether this is the moment to cancel the task.

        Args:
            waiter: The future that the task waits for.
            owed: The expired blocks around the task.
            due: Those that are to be told, or to be told again.
            blocks: Those of them that no shield of anyio holds off.
        """
        task = self.task
        if task.done() or not due:
            uncertain = owed and self._groups and not task.done()
            return Verdict.UNCERTAIN if uncertain else Verdict.SETTLED
        if not blocks:
            return Verdict.HELD
        if waiter is None:
            # If it is suspended all the same, at a bare yield, its next step is
            # scheduled, and brings no result.
            return Verdict.RUNNING if is_running(task) else Verdict.READY
        if self._is_arriving(waiter, blocks):
            return Verdict.ARRIVING
        if self._struck is not None and self._refuses(waiter, blocks):
            return Verdict.REFUSING
        return Verdict.READY

    def _is_arriving(self, waiter: Any, blocks: Sequence[Block]) -> bool:
        """T4: whether the result of an await that has completed is on its way."""
        task = self.task
        try:
            is_cancelled = waiter.done() and waiter.cancelled()
            if (
                is_cancelled
                and task.cancelling() > target_of(blocks).cancelling_at_entry
            ):
                return False  # it was cancelled together with the task
            passes = passes_until_done(task, waiter, self._pursuits.was_cancelled_by_us)
        except Exception:  # noqa: BLE001  (T22: anything may stand in for a future)
            return False
        if not self._passes:
            self._patience = passes + _EXTRA_PASSES
        return passes > 0 and self._passes < self._patience

    def _refuses(self, waiter: object, blocks: Sequence[Block]) -> bool:
        """Whether the task ignores its cancellations, so that polling it would cost CPU.

        A block that has not been told yet does not wait for that (T2).
        """
        waits_on = waiter is self._struck or self._strikes >= _STRIKES
        return waits_on and all(block.was_told for block in blocks)

    def _strike(
        self, waiter: Any, due: Sequence[Block], blocks: Sequence[Block]
    ) -> None:
        self._passes = 0
        self._must_look_again = len(blocks) < len(due)
        # T22: a group that is still open may drop the earlier strikes, too.
        self._told = [*self._told, *blocks] if self._groups else blocks
        self._groups = open_groups(self.task) if GROUPS_SWALLOW else ()
        self._newly_told += [block for block in blocks if not block.was_told]
        self._is_striking = True
        try:
            self._pursuits.strike(self.task, waiter, blocks)
        finally:
            self._is_striking = False
            self._requests = self.task.cancelling()
            for block in blocks:
                if block.is_level_triggered:
                    self._must_look_again = True
                    # At a bare yield there is no waiter; `None` would mean that the
                    # task has not been cancelled.
                    self._struck = waiter or self
                    self._strikes += 1
                    break
            if self._groups or self._must_look_again:
                self._look_in_next_pass()
            else:
                self._pursuits.end(self.task)

    def _check_groups(self) -> None:
        """T22: whether a TaskGroup has dropped the last cancellation."""
        if any(map(has_raised, self._groups)):
            self._groups = ()
            self._pursuits.take_back(self.task, self._told)
        else:
            self._groups = list(filter(is_open, self._groups))

    # -- another look --------------------------------------------------------

    def _look_soon(self) -> None:
        """Look in the next pass, or after a pause if the task was running before, too.

        A task runs for more than a pass if it runs the loop itself (nest_asyncio).
        """
        running = is_running(self.task)
        if running and self.was_running:
            self._look_after_pause(_LONGEST_WHILE_RUNNING)
        else:
            self._look_in_next_pass()
        self.was_running = running

    def _look_in_next_pass(self) -> None:
        """Whatever the loop has already scheduled for the task runs first."""
        self._handle = self._pursuits.loop.call_soon(
            self._on_turn, context=self._pursuits.context
        )

    def _look_after_pause(self, longest: float) -> None:
        self._pause = min(self._pause, longest)
        self._handle = self._pursuits.loop.call_later(
            self._pause, self._on_turn, context=self._pursuits.context
        )
        self._pause *= 2

    def _look_when_done(self, waiter: Any) -> None:
        """Look again as soon as ``waiter`` is done, right after the task has run.

        Callbacks run in the order in which they were added, and the first one was the
        task's own.
        """
        if waiter is None:
            self._look_soon()
        elif waiter is not self._watched:
            self._watched = waiter
            waiter.add_done_callback(self._on_done, context=self._pursuits.context)

    def _on_done(self, waiter: object) -> None:
        if waiter is self._watched:
            self._watched = None
            if self._pursuits.is_on(self):
                self.step()


def _is_due(block: Block) -> bool:
    """Whether an expired block is to be told, or to be told again."""
    return block.is_level_triggered or not block.was_told
