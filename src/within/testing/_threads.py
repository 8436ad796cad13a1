"""What the threads of this process are doing, as far as Python and the kernel tell.

On Linux the kernel lists all threads, including those that `threading` does not know:
those of C libraries, and those that were started by ``_thread.start_new_thread()``.
"""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import thread as pools
from pathlib import Path
from typing import Any, cast

from ._callers import callers, thread_frames

# Threads that wait for their next piece of work; the loops keep track of those that
# have one. Ours wake a task only through a descriptor that it waits for; pytest-timeout
# watches a test with one.
# Each is a whole name, because a driver may call its thread "Trio thread 1 of mine".
_HARMLESS = re.compile(
    r"AnyIO worker thread|Trio thread \d+|pytest_timeout .*"
    r"|within-(alarm|connect|port|log-\d+|wait-\d+)",
    re.DOTALL,
)

# The queue from which each thread of a `ThreadPoolExecutor` takes its work, and the
# code that it runs. Both are private; a test fails loudly when they have moved. Such
# a thread then counts as any other.
_queues: Any = getattr(pools, "_threads_queues", {})
_worker: Any = getattr(getattr(pools, "_worker", None), "__code__", None)

# `threading` makes an object of this type for a thread that other code has started
# and that asks for its own object, as logging does. Before Python 3.12, it lists the
# object even after the thread has ended.
_Dummy: Any = getattr(threading, "_DummyThread", ())

_TASKS = Path("/proc/self/task")
CAN_SEE_THREADS = _TASKS.is_dir()
"""Whether the kernel lists the threads and tells what each does, as Linux does."""

# In `/proc/self/task/TID/status` (proc_pid_status(5)).
_STATUS = re.compile(r"^(?:State|\w*voluntary_ctxt_switches):\t(\w+)", re.MULTILINE)

RUNNING = "running"
UNKNOWN = "unknown"
_ENDED = "ended"


def known_threads() -> list[threading.Thread]:
    """The threads that `threading` has started, and the main thread."""
    return [x for x in threading.enumerate() if not isinstance(x, _Dummy)]


def unknown_threads() -> set[int]:
    """Identifiers of the other threads that run Python code at the moment."""
    return thread_frames().keys() - {thread.ident for thread in known_threads()}


def is_idle(thread: threading.Thread) -> bool:
    """Whether the thread waits for work from a loop or from its pool."""
    if _HARMLESS.fullmatch(thread.name):
        return True
    return is_of_a_pool(thread) and _has_no_work(thread, _queues.get(thread))


def is_of_a_pool(thread: threading.Thread) -> bool:
    return thread in _queues


def strangers() -> dict[int, str]:
    """What each thread does that may have something to do for a task.

    Keys tell the threads apart. A value changes whenever its thread runs, or is
    `UNKNOWN` where the kernel does not tell.
    """
    current, asking = threading.current_thread(), callers()
    idle = [
        x
        for x in known_threads()
        if x is current or (is_idle(x) and x.ident not in asking)
    ]
    if not CAN_SEE_THREADS:
        others = thread_frames().keys() - {thread.ident for thread in idle}
        return dict.fromkeys(others, UNKNOWN)
    # After a fork, the object of the main thread has the number of another process.
    ours = {threading.get_native_id(), *(thread.native_id for thread in idle)}
    others = set(map(int, os.listdir(_TASKS))) - ours
    found = {tid: _activity(tid) for tid in others}
    return {tid: doing for tid, doing in found.items() if doing != _ENDED}


def _activity(tid: int) -> str:
    # A thread that another one has just woken is counted as running, even before the
    # kernel lets it run.
    try:
        status = (_TASKS / str(tid) / "status").read_text()
    except OSError:  # it has ended meanwhile
        return _ENDED
    state, *switches = _STATUS.findall(status)
    if state in "ZX":
        return _ENDED
    return " ".join(switches) if state == "S" else RUNNING  # S: sleeps


def _has_no_work(thread: threading.Thread, work: Any) -> bool:
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
