"""Threads and signal handlers, which may wake a task without the loop knowing.

A loop knows the threads that it has started itself. Others may belong to a database
driver, or to a server in a thread of the test (V8). Nobody can tell whether such a
thread is about to answer, so it is given a moment of real time before the clock jumps,
and more as long as it is seen to run. On Linux, a thread that has not run since its last
such moment is not given another.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from concurrent.futures import thread as pools
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from types import FrameType

# Threads that wait for their next piece of work; the loops keep track of those that
# have one. Ours wake a task only through a descriptor that it waits for; pytest-timeout
# watches a test with one.
# Each is a whole name, because a driver may call its thread "asyncio_mqtt".
_HARMLESS = re.compile(
    r"asyncio_\d+|AnyIO worker thread|Trio thread \d+|pytest_timeout .*"
    r"|within-(alarm|connect|log-\d+|wait-\d+)",
    re.DOTALL,
)

# The queue from which each thread of a `ThreadPoolExecutor` takes its work, and the
# code that it runs. Both are private; a test fails loudly when they have moved. Such
# a thread then counts as any other.
_queues: Any = getattr(pools, "_threads_queues", {})
_worker: Any = getattr(getattr(pools, "_worker", None), "__code__", None)

# Real seconds for which the clock stands still while a thread may be about to answer,
# and until it moves on even though a thread is running.
MOMENT = 0.1
LONGEST = 1.0

# Real seconds until a loop looks again at what it is never told of: a thread may end,
# or become idle, without waking the loop.
RECHECK = 0.01

# What each thread had done when it last let a moment pass without waking a loop. This
# outlives a loop: an idle thread must not cost every test a moment.
_quiet: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()


class Outside:
    """The threads and signal handlers that may wake a task of one loop."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._handlers = _signal_handlers()
        # The real seconds that threads have had since a task last ran. They are added
        # up and not read on a clock, which freezegun and others stop.
        self._waited: float | None = None
        self._before: dict[threading.Thread, str] = {}

    def patience(self) -> float:
        """How long the clock must still stand, in real seconds, for threads to answer.

        Call this when no task can run, before looking for ready descriptors; and
        :meth:`restart` when a task runs again.
        """
        if self._waited is None:
            found = {thread: _activity(thread) for thread in _strangers()}
            if all(_quiet.get(x) == done != _RUNNING for x, done in found.items()):
                return 0
            self._waited, self._before = MOMENT, found
            return MOMENT
        found = {thread: _activity(thread) for thread in self._before}
        if _RUNNING in found.values() and self._waited < LONGEST:
            self._waited += RECHECK
            return RECHECK
        for thread, done in found.items():
            if done not in (_RUNNING, _UNKNOWN) and self._before[thread] == done:
                _quiet[thread] = done
        return 0

    def restart(self) -> None:
        """Give threads a whole moment again: a task has run since."""
        self._waited = None

    def may_wake_a_task(self) -> bool:
        """Whether a thread or a signal may still wake a task.

        Call this before looking for ready descriptors: a thread that ends in
        between has made one ready.
        """
        before = self._handlers
        return any(map(self._may_wake, threading.enumerate())) or any(
            before.get(number) != handler
            for number, handler in _signal_handlers().items()
        )

    def _may_wake(self, thread: threading.Thread) -> bool:
        if _HARMLESS.fullmatch(thread.name):
            return False
        # A thread of a pool may be older than the clock and still get work later.
        if (work := _queues.get(thread)) is not None:
            return not _is_idle(thread, work)
        return thread not in self._threads


# Whether the kernel tells what a thread does, as Linux does.
CAN_SEE_THREADS = Path("/proc/self/task").is_dir()

# In `/proc/self/task/TID/status` (proc_pid_status(5)).
_STATUS = re.compile(r"^(?:State|\w*voluntary_ctxt_switches):\t(\w+)", re.MULTILINE)

_RUNNING = "running"
_UNKNOWN = "unknown"


def _strangers() -> list[threading.Thread]:
    """The threads that may have something to do for a task."""
    current = threading.current_thread()
    return [
        thread
        for thread in threading.enumerate()
        if thread is not current
        and not _HARMLESS.fullmatch(thread.name)
        and not ((work := _queues.get(thread)) is not None and _is_idle(thread, work))
    ]


def _activity(thread: threading.Thread) -> str:
    """Something that changes whenever the thread runs.

    A thread that another one has just woken is counted as running, even before the
    kernel lets it run.
    """
    try:
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    except OSError:  # no such file here, or the thread has ended meanwhile
        return _UNKNOWN
    state, *switches = _STATUS.findall(status)
    return " ".join(switches) if state == "S" else _RUNNING  # S: sleeps


def thread_frames() -> dict[int, FrameType]:
    """By thread identifier, the innermost frame of each thread that runs Python."""
    python: Any = sys  # the documented `_current_frames` counts as private for pyright
    found: dict[int, FrameType] = python._current_frames()
    return found


def _is_idle(thread: threading.Thread, work: Any) -> bool:
    # An idle thread is in the function that waits for work, and holds none.
    frame = thread_frames().get(cast("int", thread.ident))
    if frame is None or frame.f_code is not _worker or not work.empty():
        return False
    if "work_item" in frame.f_locals or "executor_reference" not in frame.f_locals:
        return False
    # Since 3.13 work for a waiting thread does not pass through the queue, so it
    # cannot be seen there until the thread runs. The pool has counted it, though.
    pool = frame.f_locals["executor_reference"]()
    return pool is None or pool._idle_semaphore._value >= len(pool._threads)


def _signal_handlers() -> dict[int, Any]:
    """The handlers that may wake a task when their signal arrives."""
    found: dict[int, Any] = {}
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        module = getattr(handler, "__module__", None)
        # Both loops set a handler for Ctrl-C when they start, so SIGINT counts only
        # where a task waits for it. pytest-timeout sets its own for each test.
        if number == signal.SIGINT:
            counts = module in ("asyncio.unix_events", "trio._signals")
        else:
            counts = callable(handler) and module != "pytest_timeout"
        if counts:
            found[number] = handler
    return found
