"""Mutations of the alarm: when a deadline is noticed (T1, T2, T11)."""

from __future__ import annotations

from mutation_type import ALARM, BACKEND, BLOCKS, TRIO, Mutation

ALARMS = [
    Mutation(
        "T1: fire a second early",
        ALARM,
        "elif deadline > now:",
        "elif deadline > now + 1:",
    ),
    Mutation(
        "T2: do not set the timer for the next deadline",
        ALARM,
        "if heap and heap[0][0] != math.inf:",
        "if False:",
    ),
    Mutation(
        "T5: set a timer for a block without a deadline",
        ALARM,
        "if heap and heap[0][0] != math.inf:",
        "if heap:",
    ),
    Mutation(
        "T2: do not set the timer for a deadline that moves closer",
        ALARM,
        "if block.when < self.rings_at:",
        "if self.rings_at == math.inf:",
    ),
    Mutation(
        "T2: do not set the timer for an earlier deadline at entry",
        BACKEND,
        "if when < self.alarm.rings_at and now < when:",
        "if self.alarm.rings_at == math.inf and now < when:",
    ),
    Mutation(
        "T2: set the timer again for an instant that the clock cannot tell from now",
        ALARM,
        "earliest=now + self._resolution()",
        "earliest=now",
    ),
    Mutation(
        "T23: note a timer before it is armed",
        ALARM,
        "handle = self._loop.call_at(",
        "self.rings_at = deadline\n        handle = self._loop.call_at(",
    ),
    Mutation(
        "T8: leave the old timer armed beside an earlier one",
        ALARM,
        "        if before is not None:\n            before.cancel()\n",
        "",
    ),
    Mutation(
        "T23: leave a second timer armed when the first one fires",
        ALARM,
        "        if handle is not None:\n            handle.cancel()\n        due",
        "        due",
    ),
    Mutation(
        "T2: let uvloop round a timer down",
        ALARM,
        "self._slack = 0.0 if is_exact else _MILLISECOND / 2",
        "self._slack = 0.0",
    ),
    Mutation(
        "T2: fire the timer once for each deadline that moves away",
        ALARM,
        "elif block.when > deadline:",
        "elif block.when > deadline and deadline <= now:",
    ),
    Mutation(
        "T2: forget the first block that is not due when the timer fires",
        ALARM,
        "# T1: the loop may be early\n                heappush(heap, entry)\n",
        "# T1: the loop may be early\n",
    ),
    Mutation(
        "T2: stop at the first waiter that cannot be cancelled",
        BACKEND,
        "failed = error",
        "raise",
    ),
    Mutation(
        "T22: look at a task once for each of its blocks",
        BACKEND,
        "for task in dict.fromkeys([block.task for block in blocks]):",
        "for task in [block.task for block in blocks]:",
    ),
    Mutation(
        "T2: age only the innermost block of a task",
        BLOCKS,
        "                block = block.parent\n        self.old",
        "                break\n        self.old",
    ),
    Mutation(
        "T8: keep the caller's context in the alarm's timer",
        ALARM,
        "self._context = Context()",
        "from contextvars import copy_context; self._context = copy_context()",
    ),
    Mutation(
        "T8: keep a block in the heap after its exit",
        ALARM,
        "        entry[2] = None\n        self._left",
        "        self._left",
    ),
    Mutation(
        "T8: let the heap grow with the blocks that were left",
        ALARM,
        "if self._left > _FEW and self._left * 2 > len(heap):",
        "if False:",
    ),
    Mutation(
        "T8: keep an old block among the open ones after its exit",
        BLOCKS,
        "                del self.old[task]",
        "                pass",
    ),
    Mutation(
        "T13: keep a block that was left out of order as a parent",
        BLOCKS,
        "inner.parent = block.parent",
        "pass",
    ),
    Mutation(
        "T13: treat an old block as young once the inner one is left",
        BACKEND,
        "if parent is not None and parent.task is task and parent.entry is None:",
        "if parent is not None and parent.task is task:",
    ),
    Mutation(
        "T11: let an earlier deadline wait for the old one",
        ALARM,
        "if entry is not None and block.when < entry[0]:",
        "if False:",
    ),
    Mutation(
        "T11: strike at the old deadline after it has moved away",
        ALARM,
        "elif block.when > deadline:",
        "elif False:",
    ),
    Mutation(
        "T11: allow a move after the deadline has passed",
        BACKEND,
        "        if block.has_expired:\n            return False\n",
        "",
    ),
    Mutation(
        "T11: strike a pass late when a deadline moves into the past",
        BACKEND,
        "if deadline <= self._loop.time():",
        "if False:",
    ),
    Mutation(
        "T11: let trio notice the old deadline while it is moved",
        TRIO,
        "        scope.deadline = math.inf\n        if scope.cancel_called",
        "        if scope.cancel_called",
    ),
    Mutation(
        "T5: strike late on trio when a deadline moves into the past",
        TRIO,
        "if deadline <= trio.current_time():",
        "if False:",
    ),
]
