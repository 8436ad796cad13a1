"""Break the timeouts in ways that a maintainer might, and see what notices.

    ./dev mutate [WORDS…]     all of them, or those whose name has the words

Each mutation is made in a copy of the source. First the properties are run on it,
then the other tests of timeouts; the first that fails has caught it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

PROPERTIES = [
    "tests/test_open_blocks.py",
    "tests/test_alarm.py",
    "tests/test_model.py",
    "tests/test_model_reference.py",
]
EXAMPLES = [
    "tests/test_alarm_on_loops.py",
    "tests/test_timeouts.py",
    "tests/test_timeouts_asyncio.py",
    "tests/test_neighbours.py",
    "tests/test_httpx.py",
]


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str  # below src/within
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
        "T1: ring early",
        ALARM,
        "elif deadline > now:",
        "elif deadline > now + 1:",
    ),
    Mutation(
        "T2: do not set the timer for what comes next",
        ALARM,
        "if heap and heap[0][0] != math.inf:",
        "if not heap:",
    ),
    Mutation(
        "T2: do not set the timer for a deadline that was moved nearer",
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
        "T2: ask a coarse loop again for what is left of a millisecond",
        ALARM,
        "self._grain = max(2 * self._grain, _FIRST_GRAIN)",
        "pass",
    ),
    Mutation(
        "T2: let each that is put off have a ring of its own",
        ALARM,
        "elif block._when > deadline:",
        "elif block._when > deadline and deadline <= now:",
    ),
    Mutation(
        "T2: a waiter that cannot be cancelled keeps the strike from others",
        ASYNCIO,
        "failed = error",
        "raise",
    ),
    Mutation(
        "T17: a shield of anyio's cuts off nothing for a child",
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
        "T8: an old block that is left stays among the open",
        BLOCKS,
        "                del self.old[task]",
        "                pass",
    ),
    Mutation(
        "T13: an old block around one that is left is young again",
        ASYNCIO,
        "if parent is not None and parent._task is task and parent._entry is None:",
        "if parent is not None and parent._task is task:",
    ),
    Mutation(
        "T3: a block that has ended was late all the same",
        ASYNCIO,
        "if not timeout._struck or not isinstance(exc, asyncio.CancelledError):",
        "if not timeout._struck and timeout._when > self._loop.time():",
    ),
    Mutation(
        "T4: strike a finished waiter",
        PURSUIT,
        "if waiter is None or not waiter.done():\n            return False",
        "return False",
    ),
    Mutation(
        "T4: a waiter that we have cancelled has arrived",
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
        "T5: count from construction",
        TIMEOUTS,
        'else as_seconds(delay, "delay")',
        'else as_seconds(delay, "delay") - 1 / 64',
    ),
    Mutation(
        "T5: a deadline that has passed at entry comes a pass later",
        ASYNCIO,
        "if when <= now or timeout._expired:",
        "if timeout._expired:",
    ),
    Mutation(
        "T6: forget that somebody else has cancelled",
        ASYNCIO,
        "foreign = task.cancelling() > timeout._cancelling  # T6",
        "foreign = False",
    ),
    Mutation(
        "T6: compare >= for >",
        ASYNCIO,
        "foreign = task.cancelling() > timeout._cancelling  # T6",
        "foreign = task.cancelling() >= timeout._cancelling",
    ),
    Mutation(
        "T6: do not give the cancellation to the scope that it is of",
        ASYNCIO,
        "if self._anyio is not None and self._anyio.claim(task, exc):",
        "if False:",
    ),
    Mutation(
        "T6: give it away only where no Task.cancel() is pending",
        ASYNCIO,
        "if self._anyio is not None and self._anyio.claim(task, exc):",
        "if not foreign and self._anyio and self._anyio.claim(task, exc):",
    ),
    Mutation(
        "T6: take an unheard Task.cancel() for one from before",
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
        "T7: cancel for the outer block once more",
        ASYNCIO,
        "hear(outer)\n                return False",
        "return False",
    ),
    Mutation(
        "T7: one cancellation is heard by one block only",
        PURSUIT,
        "hear(expired)\n            backend",
        "hear([target])\n            backend",
    ),
    Mutation(
        "T8: drop the uncancel",
        ASYNCIO,
        "timeout._counted = False\n            task.uncancel()\n        if not timeout._str",
        "timeout._counted = False\n        if not timeout._str",
    ),
    Mutation(
        "T8: keep the context in the timer's handle",
        ALARM,
        "self._context = Context()",
        "from contextvars import copy_context; self._context = copy_context()",
    ),
    Mutation(
        "T8: keep a block in the heap after it was left",
        ALARM,
        "entry[2] = None\n        self._left",
        "self._left",
    ),
    Mutation(
        "T8: a block that was left keeps those around it, left before",
        ASYNCIO,
        "timeout._parent = _first_open(parent)",
        "pass",
    ),
    Mutation(
        "T2: who was open when the alarm rang is forgotten",
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
        "T9: say nothing of the deadline behind another exception",
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
        "T11: an earlier deadline waits for the turn of the old one",
        ALARM,
        "if entry is not None and timeout._when < entry[0]:",
        "if False:",
    ),
    Mutation(
        "T11: what was put off is due all the same",
        ALARM,
        "elif block._when > deadline:",
        "elif False:",
    ),
    Mutation(
        "T11: move a deadline that has expired",
        ASYNCIO,
        "if timeout._expired:\n            return False\n        timeout._delay",
        "timeout._delay",
    ),
    Mutation(
        "T11: what is moved into the past strikes a pass later",
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
        "T14: look through shields",
        ASYNCIO,
        "if scope._shield:  # T14: holds off what is outside, not itself",
        "if False:",
    ),
    Mutation(
        "T14: what a shield has held off is forgotten",
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
        "T14: the shield's own deadline does not count on trio",
        TRIO,
        "scope.shield = True\n",
        "scope = trio.CancelScope(shield=True)\n",
    ),
    Mutation(
        "T15: strike within anyio's shields",
        ASYNCIO,
        "if scope._expired and (held or not self.is_held(scope, task)):",
        "if scope._expired:",
    ),
    Mutation(
        "T15: whoever is held off holds off those inside",
        PURSUIT,
        "if not _is_due(expired):",
        "if len(expired) < len(everything):",
    ),
    Mutation(
        "T15: forget who was held off once another has struck",
        PURSUIT,
        "if _is_due(everything):\n                self._look",
        "if level:\n                self._look",
    ),
    Mutation(
        "T15: be held by a shield around the block",
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
        "T16: keep who obeys waiting",
        PURSUIT,
        "_STRIKES = 100",
        "_STRIKES = 8",
    ),
    Mutation(
        "T2: keep an outer block waiting for what an inner one refuses",
        PURSUIT,
        "if self._struck is not None and not unheard and self._refuses(waiter):",
        "if self._struck is not None and self._refuses(waiter):",
    ),
    Mutation(
        "T16: poll who refuses",
        PURSUIT,
        "return waiter is self._struck or self._strikes >= _STRIKES",
        "return False",
    ),
    Mutation(
        "T17: forget what the task was started in",
        ASYNCIO,
        "scope = _inherited.get()\n        nearest",
        "pass\n        nearest",
    ),
    Mutation(
        "T17: see through shields",
        ASYNCIO,
        "if scope._shield:\n                    break\n            scope = scope._parent",
        "scope = scope._parent",
    ),
    Mutation(
        "T17: a cancelled block has time left",
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
        "quiet: raise all the same",
        TIMEOUTS,
        "if self._quiet:\n                return True",
        "if False:\n                return True",
    ),
]


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if all(word in m.name for word in words)]
    survived = 0
    for mutation in chosen:
        caught_by = try_out(mutation)
        survived += caught_by is None
        print(f"{mutation.name:62} {caught_by or '*** SURVIVED ***'}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} caught")
    return survived


def try_out(mutation: Mutation) -> str | None:
    """The first test that fails with the mutation in place."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "src")
        shutil.copytree(ROOT / "src", copy)
        file = copy / "within" / mutation.file
        text = file.read_text()
        if text.count(mutation.old) != 1:
            sys.exit(f"{mutation.name}: {mutation.old!r} is not once in {file.name}")
        file.write_text(text.replace(mutation.old, mutation.new))
        for tests in (PROPERTIES, EXAMPLES):
            try:
                if caught_by := first_failure(copy, tests):
                    return caught_by
            except subprocess.TimeoutExpired:
                return "a test that hangs"
    return None


def first_failure(source: Path, tests: list[str]) -> str | None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header"),
            *("--tb=no", "--timeout=60", "--hypothesis-profile=mutate", *tests),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode == 0:
        return None
    failed = re.search(
        r"^(?:FAILED|ERROR) \S*?([^/\s]+\.py)(\S*)", done.stdout, re.MULTILINE
    )
    if failed:
        return failed[1] + failed[2]
    if "Timeout" in done.stdout + done.stderr:
        return "a test that hangs"
    sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
