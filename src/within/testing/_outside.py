"""Threads, children and signal handlers that may wake a task without the loop knowing.

A loop knows the threads that it has started itself. Others may belong to a database
driver, or to a server in a thread of the test (V8). Nobody can tell whether such a
thread is about to answer, so it is given a moment of real time before the clock jumps,
and more as long as it is seen to run. On Linux, a thread that has not run since its last
such moment is not given another.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from ._threads import (
    RUNNING,
    UNKNOWN,
    is_idle,
    is_of_a_pool,
    known_threads,
    strangers,
    unknown_threads,
)

# Real seconds for which the clock stands still while a thread may be about to answer,
# and until it moves on even though a thread is running.
MOMENT = 0.1
LONGEST = 1.0

# Real seconds until a loop looks again at what it is never told of: a thread may end,
# or become idle, without waking the loop.
RECHECK = 0.01

# What each thread had done when it last let a moment pass without waking a loop. This
# outlives a loop: an idle thread must not cost every test a moment.
_quiet: dict[int, str] = {}


class Outside:
    """The threads, children and signal handlers that may wake a task of one loop."""

    def __init__(self) -> None:
        self._older: set[threading.Thread] = set(known_threads())
        self._older_unknown = unknown_threads()
        self._handlers = _signal_handlers()
        # The real seconds that threads have had since a task last ran. They are added
        # up and not read on a clock, which freezegun and others stop.
        self._waited: float | None = None
        self._before: dict[int, str] = {}

    def patience(self) -> float:
        """How long the clock must still stand, in real seconds, for threads to answer.

        Call this when no task can run, before looking for ready descriptors; and
        :meth:`restart` when a task runs again.
        """
        found = strangers()
        if all(_quiet.get(x) == done != RUNNING for x, done in found.items()):
            return 0
        if self._waited is None:
            self._waited, self._before = 0, found
        is_running = RUNNING in found.values()
        # Rounded: ten times 0.01 is less than 0.1.
        if round(self._waited, 6) < (LONGEST if is_running else MOMENT):
            self._waited += RECHECK
            return RECHECK
        _quiet.update(
            (thread, done)
            for thread, done in found.items()
            if done not in (RUNNING, UNKNOWN) and self._before.get(thread) == done
        )
        for gone in _quiet.keys() - found.keys():
            _quiet.pop(gone, None)  # its identifier may be used again
        return 0

    def restart(self) -> None:
        """Give threads a whole moment again: a task has run since."""
        self._waited = None

    def may_wake_a_task(self, asking: set[int]) -> bool:
        """Whether a thread or a signal may still wake a task.

        Call this before looking for ready descriptors: a thread that ends in
        between has made one ready.

        Args:
            asking: The threads that wait for an answer of the loop.
        """
        before = self._handlers
        return (
            any(self._may_wake(x) for x in known_threads() if x.ident not in asking)
            or bool(unknown_threads() - self._older_unknown - asking)
            or any(
                before.get(number) != handler
                for number, handler in _signal_handlers().items()
            )
        )

    def _may_wake(self, thread: threading.Thread) -> bool:
        # A thread of a pool may be older than the clock and still get work later.
        is_known = thread in self._older and not is_of_a_pool(thread)
        return not is_known and not is_idle(thread)

    def watch(self) -> None:
        """Take note of what the threads do, for :meth:`is_at_work`."""
        self._before = strangers()

    def is_at_work(self) -> bool:
        """Whether a thread has run since :meth:`watch`, or may have, or a child exists.

        No thread or child that is at work is missed. An idle child counts too, because
        nobody can tell.
        """
        now = strangers()
        return (
            now != self._before
            or not {RUNNING, UNKNOWN}.isdisjoint(now.values())
            or _has_a_child()
        )


def _has_a_child() -> bool:
    """Whether this process has a child, as far as the system tells."""
    system: Any = os  # without waitid() on Windows, and on macOS before 3.13
    if hasattr(system, "waitid"):
        with suppress(ChildProcessError):
            options = system.WEXITED | system.WNOHANG | system.WNOWAIT
            system.waitid(system.P_ALL, 0, options)
            return True
    return False


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
