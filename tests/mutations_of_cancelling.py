"""Mutations of cancelling: when and how often."""

from __future__ import annotations

from mutation_type import GROUPS, PURSUIT, STRIKES, Mutation

PURSUITS = [
    # -- at which moment ----------------------------------------------------
    Mutation(
        "T8: cancel a task that is running",
        PURSUIT,
        "return Verdict.RUNNING if is_running(task) else Verdict.READY",
        "return Verdict.READY",
    ),
    Mutation(
        "T22: look at a task that runs a nested loop in every pass",
        PURSUIT,
        "if running and self.was_running:",
        "if False:",
    ),
    Mutation(
        "T2: let a nested loop delay the limit for seconds",
        PURSUIT,
        "_LONGEST_WHILE_RUNNING = 0.01",
        "_LONGEST_WHILE_RUNNING = 10",
    ),
    Mutation(
        "T4: let a busy partner starve the deadline",
        PURSUIT,
        "_EXTRA_PASSES = 3",
        "_EXTRA_PASSES = 1_000_000",
    ),
    Mutation(
        "T4: wait for a waiter that was cancelled together with the task",
        PURSUIT,
        "                is_cancelled\n                and task",
        "                False\n                and task",
    ),
    Mutation(
        "T4: treat a future that we cancelled as completed",
        STRIKES,
        "return says if isinstance(says, Reason) else None",
        "return None",
    ),
    Mutation(
        "T4: treat a task that we cancelled as completed",
        STRIKES,
        "return self._passed_on.get(future)",
        "return None",
    ),
    Mutation(
        "T4: remember only the waiter itself, not what is cancelled behind it",
        STRIKES,
        "for future in reached:",
        "for future in reached[:1]:",
    ),
    Mutation(
        "T8: keep the tasks that we cancelled alive",
        STRIKES,
        "self._passed_on: WeakKeyDictionary[Task, Reason] = WeakKeyDictionary()",
        "self._passed_on: Any = {}",
    ),
    Mutation(
        "T4: cancel at once although a result has arrived",
        PURSUIT,
        "if waiter.done() or GROUPS_SWALLOW:",
        "if GROUPS_SWALLOW:",
    ),
    Mutation(
        "T4: cancel at once although a result may be on its way",
        PURSUIT,
        "and nothing_is_known_behind(waiter, task)\n",
        "",
    ),
    Mutation(
        "T22: cancel at once although a group may drop it",
        PURSUIT,
        "if waiter.done() or GROUPS_SWALLOW:",
        "if waiter.done():",
        only_before=(3, 13),
    ),
    Mutation(
        "T16: cancel at once, and only once",
        PURSUIT,
        " or block.is_level_triggered:\n            return False\n        if (",
        ":\n            return False\n        if (",
    ),
    Mutation(
        "T14: cancel at once although the block has been told",
        PURSUIT,
        "or (block := owed[0]).was_told or",
        "or (block := owed[0]) is None or",
    ),
    Mutation(
        "T7: cancel at once although a block is open inside",
        PURSUIT,
        "            block is self.open_blocks.innermost(task)\n            and task",
        "            task",
    ),
    Mutation(
        "T6: cancel at once although other code has cancelled the task",
        PURSUIT,
        "            and task.cancelling() == block.cancelling_at_entry\n",
        "",
    ),
    Mutation(
        "T15: cancel at once in a shield of anyio",
        PURSUIT,
        "            and not self.is_held(block, task)\n",
        "",
    ),
    Mutation(
        "T22: cancel a task of another type at once",
        PURSUIT,
        " or type(task) is not asyncio.Task:",
        ":",
    ),
    Mutation(
        "T8: keep the caller's context in a handle of a pursuit",
        PURSUIT,
        "self._context = Context()",
        "from contextvars import copy_context; self._context = copy_context()",
    ),
    # -- shields, and again -------------------------------------------------
    Mutation(
        "T15: ignore anyio's shields when the block is left",
        STRIKES,
        "if block.has_expired and (even_if_held or not self.is_held(block, task)):",
        "if block.has_expired:",
    ),
    Mutation(
        "T15: ignore anyio's shields when the task is cancelled",
        STRIKES,
        "return [block for block in blocks if not self.is_held(block, task)]",
        "return blocks",
    ),
    Mutation(
        "T15: let a block that is held off hold off the inner ones",
        PURSUIT,
        "if not blocks:\n",
        "if len(blocks) < len(due):\n",
    ),
    Mutation(
        "T15: forget held-off blocks once another block strikes",
        PURSUIT,
        "self._must_look_again = len(blocks) < len(due)",
        "self._must_look_again = False",
    ),
    Mutation(
        "T15: forget a block that is held off",
        PURSUIT,
        "case Verdict.HELD:\n                self._look_when_done(waiter)",
        "case Verdict.HELD:\n                pass",
    ),
    Mutation(
        "T16: cancel once only",
        PURSUIT,
        "return block.is_level_triggered or not block.was_told",
        "return not block.was_told",
    ),
    Mutation(
        "T16: do not look at the task again after the first cancellation",
        PURSUIT,
        "                if block.is_level_triggered:\n",
        "                if False:\n",
    ),
    Mutation(
        "T16: make pauses although the task reacts",
        PURSUIT,
        "_STRIKES = 100",
        "_STRIKES = 8",
    ),
    Mutation(
        "T2: let an inner block's refusal delay an outer one",
        PURSUIT,
        "return waits_on and all(block.was_told for block in blocks)",
        "return waits_on",
    ),
    Mutation(
        "T16: poll a waiter that refuses",
        PURSUIT,
        "return waits_on and all(block.was_told for block in blocks)",
        "return False",
    ),
    Mutation(
        "T16: do not make the pauses longer",
        PURSUIT,
        "self._pause *= 2",
        "pass",
    ),
    Mutation(
        "T16: let pauses grow without end although the task reacts",
        PURSUIT,
        "longest = math.inf if waiter is self._struck else _LONGEST_PAUSE",
        "longest = math.inf",
    ),
    Mutation(
        "T16: do not look when a waiter that refuses is done",
        PURSUIT,
        "                self._look_when_done(waiter)\n"
        "                self._look_after_pause(longest)",
        "                self._look_after_pause(longest)",
    ),
    Mutation(
        "T8: count each repeated request",
        STRIKES,
        "if target.owes_uncancel:\n",
        "if False:\n",
    ),
    # -- the limit holds ----------------------------------------------------
    Mutation(
        "T22: call cancel() in a circle of tasks",
        STRIKES,
        "if is_circle:\n",
        "if False:\n",
    ),
    Mutation(
        "T22: leave the task alone when the cancel() of its waiter fails",
        STRIKES,
        "            throw_cancellation(task, waiter, says)\n            raise\n",
        "            raise\n",
    ),
    Mutation(
        "T22: cancel a task in the midst of cancelling it",
        PURSUIT,
        "if self._is_striking:  # called from the cancel() of a waiter",
        "if False:",
    ),
    Mutation(
        "T22: forget the block that a waiter's cancel() has ended",
        PURSUIT,
        "            self._must_look_again = True\n            return\n",
        "            return\n",
    ),
    Mutation(
        "T22: let a look that fails end the alarm",
        PURSUIT,
        "except Exception:  # noqa: BLE001",
        "except ZeroDivisionError:  # noqa: BLE001",
    ),
    Mutation(
        "T22: take a look that fails for a result on its way",
        PURSUIT,
        "anything may stand in for a future)\n            return False",
        "anything may stand in for a future)\n            return True",
    ),
    Mutation(
        "T22: let a TaskGroup drop the cancellation",
        PURSUIT,
        "self._pursuits.take_back(self.task, self._told)",
        "pass",
        only_before=(3, 13),
    ),
    Mutation(
        "T22: do not tell again what a TaskGroup dropped",
        STRIKES,
        "            if block.task is task:\n                block.was_told = False\n",
        "            pass\n",
        only_before=(3, 13),
    ),
    Mutation(
        "T22: forget the TaskGroups once the task has been told",
        PURSUIT,
        "uncertain = owed and self._groups and not task.done()",
        "uncertain = False",
        only_before=(3, 13),
    ),
    Mutation(
        "T22: wait for the task and not for the task whose group may drop it",
        PURSUIT,
        "self._look_when_done(awaited_by(self._groups) or waiter)",
        "self._look_when_done(waiter)",
        only_before=(3, 13),
    ),
    Mutation(
        "T22: watch the TaskGroups of other tasks",
        GROUPS,
        "is_group and held._parent_task is one and is_open(held)",
        "is_group and is_open(held)",
        only_before=(3, 13),
    ),
    Mutation(
        "T22: take a TaskGroup that waits for its children for closed",
        GROUPS,
        "return not group._exiting or group._on_completed_fut is not None",
        "return not group._exiting",
        only_before=(3, 13),
    ),
]
