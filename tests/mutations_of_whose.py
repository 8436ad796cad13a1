"""Mutations of the question whose cancellation it is (T6, T7, T22)."""

from __future__ import annotations

from mutation_type import ANYIO, ATTRIBUTION, BACKEND, PURSUIT, STRIKES, Mutation

WHOSE = [
    # -- whose cancellation it is -------------------------------------------
    Mutation(
        "T6: ignore foreign cancellation",
        BACKEND,
        "foreign = task.cancelling() > before",
        "foreign = False",
    ),
    Mutation(
        "T6: take a request from before entry for one from inside the block",
        BACKEND,
        "foreign = task.cancelling() > before",
        "foreign = task.cancelling() >= before",
    ),
    Mutation(
        "T6: take every CancelledError in an expired block for ours",
        BACKEND,
        "if not (block.was_told or is_ours):",
        "if False:",
    ),
    Mutation(
        "T6: do not know our cancellation by its message",
        BACKEND,
        "if not (block.was_told or is_ours):",
        "if not block.was_told:",
    ),
    Mutation(
        "T6: end a block by its deadline alone although other code has cancelled it",
        BACKEND,
        "            and task.cancelling() == block.cancelling_before + 1\n",
        "",
    ),
    Mutation(
        "T6: end a block by its deadline alone with the cancellation of another block",
        BACKEND,
        "            and says.block is block\n",
        "",
    ),
    Mutation(
        "T7: end a block by its deadline alone although another is open around it",
        BACKEND,
        "            and (around is None or around.task is not task)\n",
        "",
    ),
    Mutation(
        "T6: end a block by its deadline alone in a scope of anyio",
        BACKEND,
        "            and block.cancel_scope is None\n"
        "            and not self._is_in_a_scope(task)\n",
        "",
    ),
    Mutation(
        "T8: do not call Task.uncancel() for a block that its deadline ends",
        BACKEND,
        "            task.uncancel()\n            return None\n",
        "            return None\n",
    ),
    Mutation(
        "T6: ignore a request that came after ours",
        BACKEND,
        "foreign = task.cancelling() > before",
        "foreign = not since_ours and task.cancelling() > before",
    ),
    Mutation(
        "T6: treat a request to an untold block as older than ours",
        BACKEND,
        "block.cancelling_before if since_ours else block.cancelling_at_entry",
        "block.cancelling_before",
    ),
    Mutation(
        "T6: measure a foreign cancellation by the moment of ours",
        BACKEND,
        "since_ours = block.was_told and (is_ours or has_lost_message(exc))",
        "since_ours = block.was_told",
    ),
    Mutation(
        "T6: let the limit hide a cancellation whose clean-up it interrupts",
        ATTRIBUTION,
        "for held in held_by(future.get_coro()):",
        "for held in ():",
    ),
    Mutation(
        "T22: let a cancellation that was swallowed hide the limit",
        STRIKES,
        "if is_foreign:",
        "if False:",
    ),
    Mutation(
        "T22: take our own cancellation in the context for a foreign one",
        ATTRIBUTION,
        "yield reason_in(error)",
        "yield None",
    ),
    Mutation(
        "T6: do not look behind the exception that is handled",
        ATTRIBUTION,
        "            error = error.__context__\n",
        "            error = None\n",
    ),
    Mutation(
        "T22: follow a circular chain of contexts forever",
        ATTRIBUTION,
        "while error is not None and id(error) not in seen:",
        "while error is not None:",
    ),
    Mutation(
        "T22: take what another deadline of ours cancelled for foreign",
        ATTRIBUTION,
        "            yield reason_of(future)\n",
        "            yield None\n",
    ),
    Mutation(
        "T6: count an undelivered Task.cancel() as older than the block",
        BACKEND,
        'requests - getattr(task, "_must_cancel", False)',
        "requests",
    ),
    Mutation(
        "T6: count a Task.cancel() that is on its way as older than ours",
        STRIKES,
        "at_entry if is_foreign else requests",
        "requests",
    ),
    Mutation(
        "T22: count a request that is over as one from inside",
        STRIKES,
        "at_entry if is_foreign else requests",
        "at_entry",
    ),
    Mutation(
        "T6: count the requests of inner blocks of ours as older than ours",
        STRIKES,
        "requests -= block.owes_uncancel  #",
        "pass  #",
    ),
    Mutation(
        "T6: take a cancellation that was passed on to the task for one of its own",
        ATTRIBUTION,
        "reason is None or reason is passed_on",
        "reason is None",
    ),
    Mutation(
        "T6: end a block by a cancellation that was passed on to its task",
        ATTRIBUTION,
        "reason is not reason_of(task)",
        "True",
    ),
    Mutation(
        "T6: never hand a cancellation to the anyio scope that sent it",
        BACKEND,
        "if anyio is not None and may_claim and anyio.claim(task, exc):",
        "if False:",
    ),
    Mutation(
        "T6: hand it over only if no Task.cancel() is pending",
        BACKEND,
        "may_claim = is_ours or not foreign",
        "may_claim = not foreign",
    ),
    Mutation(
        "T6: hand a Task.cancel() of other code to an anyio scope",
        BACKEND,
        "may_claim = is_ours or not foreign",
        "may_claim = True",
    ),
    Mutation(
        "T6: hand it to an anyio scope outside a shield",
        ANYIO,
        "scope = None if scope.shield else _parent(scope)",
        "scope = _parent(scope)",
    ),
    Mutation(
        "T22: take our cancellation for foreign where its message was lost",
        BACKEND,
        "since_ours = block.was_told and (is_ours or has_lost_message(exc))",
        "since_ours = block.was_told and is_ours",
    ),
    Mutation(
        "T22: let a Task.cancel() that was swallowed end a level-triggered block",
        STRIKES,
        "self.take_back(task, [target])",
        "pass",
    ),
    Mutation(
        "T6: take a Task.cancel() for over that came with a repeated one of ours",
        STRIKES,
        "if is_undisturbed(task, reached, self.reason_of):",
        "if not is_being_cancelled(task, reached, self.reason_of):",
    ),
    Mutation(
        "T6: take a Task.cancel() for over that came with the first one of ours",
        STRIKES,
        "if target.was_told and not target.met_foreign:",
        "if target.was_told:",
    ),
    Mutation(
        "T6: overlook a Task.cancel() just before the first one of ours",
        STRIKES,
        "block.met_foreign = is_foreign",
        "block.met_foreign = False",
    ),
    Mutation(
        "T6: overlook a Task.cancel() just after the first one of ours",
        PURSUIT,
        "if self.task.cancelling() > self._requests:",
        "if False:",
    ),
    Mutation(
        "T22: take a Task.cancel() of the body for one that came with ours",
        STRIKES,
        "if not is_being_cancelled(task, reached, self.reason_of):",
        "if True:",
    ),
    Mutation(
        "T6: put our message in place of one that has not been delivered",
        STRIKES,
        "message = _undelivered_message(task, says) if is_foreign else says",
        "message = says",
    ),
    Mutation(
        "T6: overlook a Task.cancel() that has not been delivered",
        ATTRIBUTION,
        "for future in (task, *reached)",
        "for future in reached",
    ),
    Mutation(
        "T6: overlook a Task.cancel() that waits for a future to be told",
        ATTRIBUTION,
        "        if future.cancelled():\n",
        "        if False:\n",
    ),
    Mutation(
        "T6: overlook a Task.cancel() that goes through another task",
        ATTRIBUTION,
        'if getattr(future, "_must_cancel", False):',
        "if False:",
    ),
    Mutation(
        "T6: overlook a Task.cancel() that another task is handling",
        ATTRIBUTION,
        "for future in (task, *reached)",
        "for future in (task, *reached[:0])",
    ),
    # -- of several blocks, which one ---------------------------------------
    Mutation(
        "T7: forget the outer block",
        BACKEND,
        "if outer and not foreign and any(takes_over(x, block) for x in outer):",
        "if False:",
    ),
    Mutation(
        "T7: cancel again for the outer block",
        BACKEND,
        "self.pursuits.tell(task, outer)  # T7",
        "pass",
    ),
    Mutation(
        "T7: skip a clean-up that has a limit of its own",
        ATTRIBUTION,
        "return not outer.was_told or outer.is_level_triggered "
        "or inner.was_told_from_outside",
        "return True",
    ),
    Mutation(
        "T7: let the inner block keep the cancellation of an untold outer one",
        ATTRIBUTION,
        "return not outer.was_told or outer",
        "return outer",
    ),
    Mutation(
        "T7: let a limit in the clean-up end a level-triggered block's cancelling",
        ATTRIBUTION,
        "outer.is_level_triggered or ",
        "",
    ),
    Mutation(
        "T7: let an inner block that was open when the outer one was told keep it",
        ATTRIBUTION,
        " or inner.was_told_from_outside",
        "",
    ),
    Mutation(
        "T7: do not note that an inner block was open",
        STRIKES,
        "block.was_told_from_outside = True  # T7",
        "pass",
    ),
    Mutation(
        "T7: let one cancellation count for one block only",
        STRIKES,
        "self.tell(task, blocks, is_foreign=is_foreign)",
        "self.tell(task, [target], is_foreign=is_foreign)",
    ),
    Mutation(
        "T10: cancel in the name of a block that has been told before",
        STRIKES,
        "        if not block.was_told:\n            return block\n",
        "        if False:\n            return block\n",
    ),
]
