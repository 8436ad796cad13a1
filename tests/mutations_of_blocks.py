"""Mutations of a block: entering it, leaving it, and what it raises."""

from __future__ import annotations

from mutation_type import ANYIO, BACKEND, ERRORS, PURSUIT, TIMEOUT, TRIO, Mutation

EDGES = [
    Mutation(
        "T3: raise although the block has ended in time",
        TIMEOUT,
        "if left is exc and (exc is None or not self.has_expired):",
        "if left is exc and backend.current_time() < self.when:",
    ),
    Mutation(
        "T5: start the delay early",
        BACKEND,
        "block.when = now + block.delay",
        "block.when = now + block.delay - 1 / 64",
    ),
    Mutation(
        "T5: do not strike when the deadline passed before entry",
        BACKEND,
        "if when <= now or block.has_expired:",
        "if block.has_expired:",
    ),
    Mutation(
        "T12: forget a cancel() from before entry",
        BACKEND,
        "if when <= now or block.has_expired:",
        "if when <= now:",
    ),
    Mutation(
        "T12: forget a cancel() from before entry on trio",
        TRIO,
        "if block.has_expired:  # T12: cancelled before it was entered",
        "if False:",
    ),
    Mutation(
        "T2: forget on trio that the block has expired",
        TRIO,
        "if scope.cancel_called:\n            block.has_expired = True",
        "if False:\n            block.has_expired = True",
    ),
    Mutation(
        "T13: let a block be entered twice",
        TIMEOUT,
        "        if self._state is not",
        "        if False and self._state is not",
    ),
    Mutation(
        "T13: let a block be left out of order",
        BACKEND,
        "if not (in_place and in_order):",
        "if not in_place:",
    ),
    Mutation(
        "T13: let a block be left in another task",
        BACKEND,
        "if not (in_place and in_order):",
        "if not in_order:",
    ),
    Mutation(
        "T13: keep what a block that was left wrongly had asked of the task",
        BACKEND,
        "        self._release(block, task)\n        if isinstance(exc, Gen",
        "        if isinstance(exc, Gen",
    ),
    Mutation(
        "T13: blame somebody for a generator that was dropped",
        BACKEND,
        "if isinstance(exc, GeneratorExit):",
        "if False:",
    ),
    Mutation(
        "T13: replace an exception by the complaint about the order",
        BACKEND,
        "if not in_order and exc is None:",
        "if not in_order:",
    ),
    Mutation(
        "T13: raise trio's own error for a block that was left wrongly",
        TRIO,
        'if str(error).startswith("Cancel scope stack corrupted"):',
        "if False:",
    ),
    Mutation(
        "T23: leave a block open whose entry was interrupted",
        TIMEOUT,
        "            backend.abandon(self)\n            raise",
        "            raise",
    ),
    Mutation(
        "T23: leave a block open whose exit was interrupted",
        TIMEOUT,
        "            backend.abandon(self)\n            self._backend = None",
        "            self._backend = None",
    ),
    Mutation(
        "T23: keep what an abandoned block had asked of the task",
        BACKEND,
        "            block.task = None\n            self._release(block, task)",
        "            block.task = None",
    ),
    Mutation(
        "T23: remember the blocks of a task that ended while it left one",
        PURSUIT,
        "if task.done():  # it may have been interrupted while leaving a block (T23)",
        "if False:",
    ),
    Mutation(
        "T23: leave a trio scope open whose block was interrupted",
        TRIO,
        "            try:\n                scope.__exit__(None, None, None)",
        "            try:\n                pass",
    ),
    Mutation(
        "T8: do not call Task.uncancel()",
        BACKEND,
        "            task.uncancel()\n        if not block.has_expired:",
        "        if not block.has_expired:",
    ),
    Mutation(
        "T8: do not call Task.uncancel() for a block that was left wrongly",
        BACKEND,
        "            task.uncancel()\n        if block.anyio_shield",
        "        if block.anyio_shield",
    ),
    Mutation(
        "T8: let a closed block keep its closed parents alive",
        BACKEND,
        "block.parent = _first_open(parent)",
        "pass",
    ),
    Mutation(
        "T8: stop settling the block when an anyio scope inside it is still open",
        BACKEND,
        "        finally:  # T8: even if an anyio scope inside the block was left open\n",
        "        except ZeroDivisionError:\n            raise\n        else:\n",
    ),
    Mutation(
        "T20: let a timeout that has been left keep its loop alive",
        TIMEOUT,
        "self._backend = None  # T20: a kept Timeout must not keep its loop",
        "pass",
    ),
    Mutation(
        "T20: one backend for all loops",
        BACKEND,
        "backend = AsyncioBackend(loop)\n",
        "backend = AsyncioBackend(loop)\n"
        "    asyncio.AbstractEventLoop._within_backend = backend\n",
    ),
]

REST = [
    Mutation(
        "T9: leave the deadline out of the context of other exceptions",
        ERRORS,
        "last.__context__ = inserted",
        "pass",
    ),
    Mutation(
        "T9: follow a circular chain of contexts for ever",
        ERRORS,
        "if id(context) in seen:",
        "if False:",
    ),
    Mutation(
        "T9: explain the members of a group but not the group",
        ERRORS,
        "is_certain = explain(member, exceeded, cancelled) or is_certain",
        "explain(member, exceeded, cancelled)",
    ),
    Mutation(
        "T9: explain only what has a cancellation in its chain",
        TIMEOUT,
        "is_certain=left is not exc,",
        "is_certain=False,",
    ),
    Mutation(
        "T9: put the whole group into the context of its rest",
        TIMEOUT,
        "            left.__context__ = context\n",
        "            pass\n",
    ),
    Mutation(
        "T9: leave our cancellation in a group",
        BACKEND,
        "            return rest\n",
        "            return group\n",
    ),
    Mutation(
        "T9: do not look into groups",
        BACKEND,
        "if isinstance(exc, BaseExceptionGroup):  # T9",
        "if False:",
    ),
    Mutation(
        "T9: raise the rest of a group on trio as trio does, without the deadline",
        TRIO,
        "            caught, left = scope.cancelled_caught, error",
        "            raise",
    ),
    Mutation(
        "T10: raise for the wrong block",
        TIMEOUT,
        "DeadlineExceeded(message(self, backend.current_time()), self)",
        "DeadlineExceeded(message(self, backend.current_time()), "
        'getattr(self, "parent", None) or self)',
    ),
    Mutation(
        "T10: leave the deadline out of the message of the cancellation",
        PURSUIT,
        "says = reason(target, self.loop.time())",
        'says = Reason("")',
    ),
    Mutation(
        "T14: ignore our shields",
        PURSUIT,
        "if block.is_shield:  # T14: holds off the blocks around it, not itself",
        "if False:",
    ),
    Mutation(
        "T14: forget the cancellation that a shield held off",
        BACKEND,
        "if self.pursuits.expired_blocks_reaching(task, even_if_held=True):",
        "if False:",
    ),
    Mutation(
        "T14: let a deadline outside a shield take over what ends the shield",
        BACKEND,
        "        if not block.is_shield:\n            outer",
        "        if True:\n            outer",
    ),
    Mutation(
        "T14: do not enter anyio's shield",
        BACKEND,
        "            if block.is_shield:\n                scope = ",
        "            if False:\n                scope = ",
    ),
    Mutation(
        "T14: ignore a shield's own deadline on trio",
        TRIO,
        "scope.shield = True\n",
        "scope = trio.CancelScope(shield=True)\n",
    ),
    Mutation(
        "T15: let a shield around the block hold it off",
        ANYIO,
        "while scope is not None and scope is not outer:\n        if scope.shield:",
        "while scope is not None:\n        if scope.shield:",
    ),
    Mutation(
        "T17: do not tell child tasks of the block",
        BACKEND,
        "_inherited.set(block)",
        "pass",
    ),
    Mutation(
        "T17: forget the block that the task was started in",
        BACKEND,
        "block = self.open_blocks.innermost(task) or self._inherited_by(\n"
        "            task, _inherited.get()\n"
        "        )",
        "block = self.open_blocks.innermost(task)",
    ),
    Mutation(
        "T17: look past shields",
        BACKEND,
        "                if block.is_shield:\n                    break\n",
        "",
    ),
    Mutation(
        "T17: report time left in a cancelled block",
        BACKEND,
        "if block.has_expired:\n                    return -math.inf",
        "",
    ),
    Mutation(
        "T17: ignore the deadlines of anyio",
        BACKEND,
        "else min(nearest, anyio.current_effective_deadline())",
        "else nearest",
    ),
    Mutation(
        "T17: ignore anyio's shields in child tasks",
        BACKEND,
        "if self.pursuits.is_held(block, task):",
        "if block.task is task and self.pursuits.is_held(block, task):",
    ),
    Mutation(
        "T24: take a block of another loop for the one around this one",
        BACKEND,
        "parent = self._inherited_by(task, parent)",
        "pass",
    ),
    Mutation(
        "T24: report the deadlines of another loop",
        BACKEND,
        "if owner is task or owner.get_loop() is not self._loop:",
        "if owner is task:",
    ),
    Mutation(
        "T24: inherit a block of the task itself",
        BACKEND,
        "if owner is task or owner.get_loop() is not self._loop:",
        "if owner.get_loop() is not self._loop:",
    ),
    Mutation(
        "T24: inherit the blocks of a task that shares the context",
        BACKEND,
        "return context_of is None or context_of(owner) is not context_of(task)",
        "return True",
    ),
    Mutation(
        "quiet: raise anyway",
        TIMEOUT,
        "if self._quiet:\n                return True",
        "if False:\n                return True",
    ),
]
