"""Mutations of a block: entering it, leaving it, and what it raises."""

from __future__ import annotations

from mutation_type import BACKEND, PURSUIT, RUNNING, TIMEOUT, TRIO, Mutation

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
        '        if getattr(scope, "_cancel_called", True)',
        '        if False and getattr(scope, "_cancel_called", True)',
    ),
    Mutation(
        "T2: forget on trio that a block with an error has expired",
        TRIO,
        "            block.has_expired = True\n\n    def abandon",
        "            pass\n\n    def abandon",
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
        "            if exc is not None:\n                return  # it says more",
        "            if False:\n                return  # it says more",
    ),
    Mutation(
        "T13: replace an exception by the complaint about the order on trio",
        TRIO,
        "            if exc is not None:\n                return  # it says more",
        "            if False:\n                return  # it says more",
    ),
    Mutation(
        "T13: raise trio's own error for a block that was left wrongly",
        TRIO,
        "if not in_place and scope._cancel_status is not None:",
        "if False:",
    ),
    Mutation(
        "T13: leave the blocks inside one that was taken out in it on trio",
        TRIO,
        "            inner.parent = status.parent\n",
        "            pass\n",
    ),
    Mutation(
        "T13: leave the tasks inside a block that was taken out in it on trio",
        TRIO,
        "            task._activate_cancel_status(status.parent)\n",
        "            pass\n",
    ),
    Mutation(
        "T8: keep the deadline of a block that was taken out on trio",
        TRIO,
        "with scope._might_change_registered_deadline():",
        "if True:",
    ),
    Mutation(
        "T13: blame somebody on trio for a generator that was dropped",
        TRIO,
        "if isinstance(exc, GeneratorExit):",
        "if False:",
    ),
    Mutation(
        "T13: take another task for a wrong order on trio",
        TRIO,
        "if is_here and not was_started_inside:",
        "if not was_started_inside:",
    ),
    Mutation(
        "T13: take a child task for a wrong order on trio",
        TRIO,
        "if is_here and not was_started_inside:",
        "if is_here:",
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
        "            self._abandon()\n            raise\n        self._state",
        "            raise\n        self._state",
    ),
    Mutation(
        "T23: leave a block open whose exit was interrupted before it began",
        TIMEOUT,
        "                self._abandon()  # if it was interrupted before "
        "__exit__() began\n",
        "",
    ),
    Mutation(
        "T23: let a handler run in __exit__() before its try",
        TIMEOUT,
        "    @try_begins_at_once\n    def __exit__",
        "    def __exit__",
    ),
    Mutation(
        "T23: let a handler run in __aexit__() before its try",
        TIMEOUT,
        "        @try_begins_at_once\n        def __aexit__",
        "        def __aexit__",
    ),
    Mutation(
        "T23: do not close a block that was left interrupted",
        TIMEOUT,
        "            self._state = EXITED\n            state.abandon(self)\n",
        "            self._state = EXITED\n",
    ),
    Mutation(
        "T23: take an error of a signal handler for the rest of a group on trio",
        TRIO,
        "if not (scope.cancelled_caught or members(error)):",
        "if False:",
    ),
    Mutation(
        "T23: forget a shield of anyio that an interrupted entry has opened",
        BACKEND,
        "if task is None and block.anyio_shield is not None:",
        "if False:",
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
        "T20: let a timeout that has been left keep its loop alive",
        TIMEOUT,
        "self._state = EXITED  # T20: a kept Timeout must not keep its loop",
        "self.kept, self._state = self._state, EXITED",
    ),
    Mutation(
        "T20: one backend for all loops",
        RUNNING,
        "backend = AsyncioBackend(loop)\n",
        "backend = AsyncioBackend(loop)\n"
        "    asyncio.AbstractEventLoop._within_backend = backend\n",
    ),
]
