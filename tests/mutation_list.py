"""The ways in which `./dev mutate` breaks the timeouts.

Each is one edit that a maintainer might make by mistake: the rule and what goes wrong,
the file below src/within, the text to replace, which is there exactly once, and the
text that replaces it.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    new: str


TIMEOUTS = "_timeouts.py"
ASYNCIO = "_backends/_asyncio.py"
ALARM = "_backends/_asyncio_alarm.py"
BLOCKS = "_backends/_asyncio_blocks.py"
PURSUIT = "_backends/_asyncio_pursuit.py"
ANYIO = "_backends/_asyncio_anyio.py"
TRIO = "_backends/_trio.py"

MUTATIONS = [
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
        "if not heap:",
    ),
    Mutation(
        "T2: do not set the timer for a deadline that moves closer",
        ALARM,
        "if timeout._when < self.rings_at:",
        "if self.rings_at == math.inf:",
    ),
    Mutation(
        "T2: do not set the timer for an earlier deadline",
        ASYNCIO,
        "elif when < self._alarm.rings_at:",
        "elif self._alarm.rings_at == math.inf:",
    ),
    Mutation(
        "T2: do not back off on a loop with a coarse clock",
        ALARM,
        "self._grain = max(2 * self._grain, _FIRST_GRAIN)",
        "pass",
    ),
    Mutation(
        "T2: fire the timer once for each deadline that moves away",
        ALARM,
        "elif block._when > deadline:",
        "elif block._when > deadline and deadline <= now:",
    ),
    Mutation(
        "T2: stop at the first waiter that cannot be cancelled",
        ASYNCIO,
        "failed = error",
        "raise",
    ),
    Mutation(
        "T17: ignore anyio's shields in child tasks",
        ASYNCIO,
        "if task is not None and self.is_held(scope, task):",
        "if scope._task is task and self.is_held(scope, scope._task):",
    ),
    Mutation(
        "T2: age only the innermost block of a task",
        BLOCKS,
        "                block = block._parent\n        self.old",
        "                break\n        self.old",
    ),
    Mutation(
        "T8: keep an old block among the open ones after its exit",
        BLOCKS,
        "                del self.old[task]",
        "                pass",
    ),
    Mutation(
        "T13: treat an old block as young once the inner one is left",
        ASYNCIO,
        "if parent is not None and parent._task is task and parent._entry is None:",
        "if parent is not None and parent._task is task:",
    ),
    Mutation(
        "T3: raise although the block has ended in time",
        ASYNCIO,
        "if not timeout._struck or not isinstance(exc, asyncio.CancelledError):",
        "if not timeout._struck and timeout._when > self._loop.time():",
    ),
    Mutation(
        "T4: cancel a task whose waiter is done",
        PURSUIT,
        "if waiter is None or not waiter.done():\n            return False",
        "return False",
    ),
    Mutation(
        "T4: treat a waiter that we cancelled as completed",
        PURSUIT,
        "return waiter not in self._backend._cut_off",
        "return True",
    ),
    Mutation(
        "T4: let a busy partner starve the deadline",
        PURSUIT,
        "_PASSES = 4",
        "_PASSES = 1_000_000",
    ),
    Mutation(
        "T5: start the delay early",
        TIMEOUTS,
        'else as_seconds(delay, "delay")',
        'else as_seconds(delay, "delay") - 1 / 64',
    ),
    Mutation(
        "T5: strike a pass late when the deadline passed before entry",
        ASYNCIO,
        "if when <= now or timeout._expired:",
        "if timeout._expired:",
    ),
    Mutation(
        "T6: ignore foreign cancellation",
        ASYNCIO,
        "foreign = task.cancelling() > timeout._cancelling  # T6",
        "foreign = False",
    ),
    Mutation(
        "T6: compare with >= instead of >",
        ASYNCIO,
        "foreign = task.cancelling() > timeout._cancelling  # T6",
        "foreign = task.cancelling() >= timeout._cancelling",
    ),
    Mutation(
        "T6: never hand a cancellation to the anyio scope that sent it",
        ASYNCIO,
        "if self._anyio is not None and self._anyio.claim(task, exc):",
        "if False:",
    ),
    Mutation(
        "T6: hand it over only if no Task.cancel() is pending",
        ASYNCIO,
        "if self._anyio is not None and self._anyio.claim(task, exc):",
        "if not foreign and self._anyio and self._anyio.claim(task, exc):",
    ),
    Mutation(
        "T6: count an undelivered Task.cancel() as older than the block",
        ASYNCIO,
        'requests - getattr(task, "_must_cancel", False)',
        "requests",
    ),
    Mutation(
        "T7: forget the outer block",
        ASYNCIO,
        "if not foreign and (outer := self.owed(task)):  # T7",
        "if outer := []:",
    ),
    Mutation(
        "T7: cancel again for the outer block",
        ASYNCIO,
        "hear(outer)\n                return False",
        "return False",
    ),
    Mutation(
        "T7: let one cancellation count for one block only",
        PURSUIT,
        "hear(expired)\n            backend",
        "hear([target])\n            backend",
    ),
    Mutation(
        "T8: do not call Task.uncancel()",
        ASYNCIO,
        "timeout._counted = False\n            task.uncancel()\n        if not timeout._str",
        "timeout._counted = False\n        if not timeout._str",
    ),
    Mutation(
        "T8: keep the caller's context in the timer handle",
        ALARM,
        "self._context = Context()",
        "from contextvars import copy_context; self._context = copy_context()",
    ),
    Mutation(
        "T8: keep a block in the heap after its exit",
        ALARM,
        "entry[2] = None\n        self._left",
        "self._left",
    ),
    Mutation(
        "T8: let a closed block keep its closed parents alive",
        ASYNCIO,
        "timeout._parent = _first_open(parent)",
        "pass",
    ),
    Mutation(
        "T2: forget the blocks that were not due when the timer fired",
        ALARM,
        "else:\n                heappush(self._heap, entry)",
        "else:\n                pass",
    ),
    Mutation(
        "T8: count each repeated request",
        PURSUIT,
        "if target._counted:\n",
        "if False:\n",
    ),
    Mutation(
        "T9: leave the deadline out of the context of other exceptions",
        TIMEOUTS,
        "explain(exc, self, backend.cancelled)",
        "pass",
    ),
    Mutation(
        "T10: raise for the wrong block",
        "_errors.py",
        "return DeadlineExceeded(message(timeout), timeout)",
        "return DeadlineExceeded(message(timeout), timeout._parent or timeout)",
    ),
    Mutation(
        "T11: let an earlier deadline wait for the old one",
        ALARM,
        "if entry is not None and timeout._when < entry[0]:",
        "if False:",
    ),
    Mutation(
        "T11: strike at the old deadline after it has moved away",
        ALARM,
        "elif block._when > deadline:",
        "elif False:",
    ),
    Mutation(
        "T11: allow a move after the deadline has passed",
        ASYNCIO,
        "if timeout._expired:\n            return False\n        timeout._delay",
        "timeout._delay",
    ),
    Mutation(
        "T11: strike a pass late when a deadline moves into the past",
        ASYNCIO,
        "if deadline <= self._loop.time():",
        "if False:",
    ),
    Mutation(
        "T12: forget a cancel() from before entry",
        TIMEOUTS,
        "elif self._state is _CREATED:\n            self._expired = True",
        "elif self._state is _CREATED:\n            pass",
    ),
    Mutation(
        "T13: let a block be entered twice",
        TIMEOUTS,
        "if self._state is not _CREATED:",
        "if False:",
    ),
    Mutation(
        "T14: ignore our shields",
        ASYNCIO,
        "if scope._shield:  # T14: holds off what is outside, not itself",
        "if False:",
    ),
    Mutation(
        "T14: forget the cancellation that a shield held off",
        ASYNCIO,
        "if self.owed(task, held=True):  # T14: what has waited strikes now",
        "if False:",
    ),
    Mutation(
        "T14: do not enter anyio's shield",
        ASYNCIO,
        "if timeout._shield:\n                scope = timeout._anyio_shield",
        "if False:\n                scope = timeout._anyio_shield",
    ),
    Mutation(
        "T14: ignore a shield's own deadline on trio",
        TRIO,
        "scope.shield = True\n",
        "scope = trio.CancelScope(shield=True)\n",
    ),
    Mutation(
        "T15: ignore anyio's shields",
        ASYNCIO,
        "if scope._expired and (held or not self.is_held(scope, task)):",
        "if scope._expired:",
    ),
    Mutation(
        "T15: let a block that is held off hold off the inner ones",
        PURSUIT,
        "if not _is_due(expired):",
        "if len(expired) < len(everything):",
    ),
    Mutation(
        "T15: forget held-off blocks once another block strikes",
        PURSUIT,
        "if _is_due(everything):\n                self._look",
        "if level:\n                self._look",
    ),
    Mutation(
        "T15: let a shield around the block hold it off",
        ANYIO,
        "while scope is not None and scope is not outer:\n        if scope.shield:",
        "while scope is not None:\n        if scope.shield:",
    ),
    Mutation(
        "T16: cancel once only",
        PURSUIT,
        "if any(block._level for block in expired):",
        "if False:",
    ),
    Mutation(
        "T16: back off although the task reacts",
        PURSUIT,
        "_STRIKES = 100",
        "_STRIKES = 8",
    ),
    Mutation(
        "T2: let an inner block's refusal delay an outer one",
        PURSUIT,
        "if self._struck is not None and not unheard and self._refuses(waiter):",
        "if self._struck is not None and self._refuses(waiter):",
    ),
    Mutation(
        "T16: poll a waiter that refuses",
        PURSUIT,
        "return waiter is self._struck or self._strikes >= _STRIKES",
        "return False",
    ),
    Mutation(
        "T17: forget the block that the task was started in",
        ASYNCIO,
        "scope = _inherited.get()\n        nearest",
        "pass\n        nearest",
    ),
    Mutation(
        "T17: look past shields",
        ASYNCIO,
        "if scope._shield:\n                    break\n            scope = scope._parent",
        "scope = scope._parent",
    ),
    Mutation(
        "T17: report time left in a cancelled block",
        ASYNCIO,
        "if scope._expired:\n                    return -math.inf",
        "",
    ),
    Mutation(
        "T20: one backend for all loops",
        ASYNCIO,
        "backend = AsyncioBackend(loop)\n",
        "backend = AsyncioBackend(loop)\n"
        "        asyncio.AbstractEventLoop._within_backend = backend\n",
    ),
    Mutation(
        "quiet: raise anyway",
        TIMEOUTS,
        "if self._quiet:\n                return True",
        "if False:\n                return True",
    ),
]
