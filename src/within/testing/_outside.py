"""Threads and signal handlers: what may wake a task without the loop knowing of it."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import thread as pools
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types import FrameType

# Threads that wait for their next piece of work; the loops keep track of those that
# have one. The last name is the thread with which pytest-timeout watches a test.
_HARMLESS = ("asyncio_", "AnyIO worker thread", "Trio thread", "pytest_timeout")

# The queue from which each thread of a `ThreadPoolExecutor` takes its work, and the
# code that it runs. Both are private; a test fails loudly when they have moved. Such
# a thread then counts as any other.
_queues: Any = getattr(pools, "_threads_queues", {})
_worker: Any = getattr(getattr(pools, "_worker", None), "__code__", None)


class Outside:
    """Threads and signal handlers that were not there when this object was made."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._handlers = _signal_handlers()

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
        if thread.name.startswith(_HARMLESS):
            return False
        # A thread of a pool may be older than the clock and still get work later.
        if (work := _queues.get(thread)) is not None:
            return not _is_idle(thread, work)
        return thread not in self._threads


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
