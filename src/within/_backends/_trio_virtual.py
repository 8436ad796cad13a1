"""A trio clock for virtual time.

trio's own, `MockClock`, jumps past threads, reports no deadlock, goes on from
one run to the next, and adds up differences, which loses digits.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import trio
import trio.testing

from ..testing._clock import GLANCE, VirtualClock, frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

T = TypeVar("T")


class VirtualTrioClock(trio.abc.Clock):
    """To be given to any number of runs; each counts from ``start``."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = VirtualClock(start).now

    def start_clock(self) -> None:
        run = _Run(VirtualClock(self._start))
        _running.set(run)
        trio.lowlevel.add_instrument(run)

    def current_time(self) -> float:
        return _running.get().clock._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return _running.get().sleep_time(deadline)

    # As of a MockClock: infinity holds the clock, while a child is waited for.
    @property
    def autojump_threshold(self) -> float:
        return _running.get().threshold

    @autojump_threshold.setter
    def autojump_threshold(self, threshold: float) -> None:
        _running.get().threshold = threshold


class _Run(trio.abc.Instrument):
    """The virtual time of one run."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.threshold = 0.0
        # For ready descriptors since a task last ran; and what was found before.
        self._has_looked = False
        self._held = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._has_looked = False

    def sleep_time(self, deadline: float) -> float:
        """No task can run: what is to be done? In real seconds."""
        clock = self.clock
        if deadline <= clock._now:
            return 0
        if not self._has_looked:
            # In this order: what ends in between has made a descriptor ready.
            self._held = self._held_for(deadline)
            self._has_looked = True
            return 0
        if self._held:
            self._has_looked = False
            return self._held
        if deadline < math.inf:
            clock._now = deadline
            return 0
        tasks = ((task.name, task.coro) for task in _tasks())
        return 0 if clock.deadlock(tasks) else math.inf

    def _held_for(self, deadline: float) -> float:
        """For how long the clock must not move; infinity until trio is woken."""
        if self.threshold > 0 or _has_thread_at_work() or _someone_waits_for_idle():
            return math.inf
        if deadline < math.inf:
            return 0
        if self.clock.is_reachable():
            return GLANCE
        return math.inf if _descriptors_waited_for() else 0


_running: trio.lowlevel.RunVar[_Run] = trio.lowlevel.RunVar("within virtual time")


_active_thread_count: Any = getattr(trio.testing, "active_thread_count", None)
_run_sync: Any = trio.to_thread.run_sync.__code__
# In a thread, the function around the one that it was given.
_worker: Any = next(
    (x for x in _run_sync.co_consts if getattr(x, "co_name", "") == "worker_fn"), None
)


def _has_thread_at_work() -> bool:
    if trio.to_thread.current_default_thread_limiter().borrowed_tokens:
        return True
    if threading.active_count() == 1:
        return False
    # One with a limiter of its own is seen by who waits for it.
    if _active_thread_count is not None:
        if _active_thread_count():
            return True
    elif any(
        frame.f_code is _run_sync for task in _tasks() for frame in frames(task.coro)
    ):
        return True
    # And where nobody does, by what it runs.
    token = trio.lowlevel.current_trio_token()
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code is not _worker:
            frame = frame.f_back
        if frame is not None and frame.f_locals.get("current_trio_token") is token:
            return True
    return False


def _someone_waits_for_idle() -> bool:
    """Whether trio has tasks in `wait_all_tasks_blocked()` to wake first.

    Nothing public tells. A test says loudly when trio has moved it.
    """
    context: Any = getattr(trio._core._run, "GLOBAL_RUN_CONTEXT", None)
    return bool(getattr(getattr(context, "runner", None), "waiting_for_idle", False))


def _descriptors_waited_for() -> bool:
    io = trio.lowlevel.current_statistics().io_statistics
    kinds = ("", "_read", "_write", "_overlapped")
    waiting = sum(getattr(io, f"tasks_waiting{kind}", 0) for kind in kinds)
    return waiting > 1  # one is trio's own, by which other threads wake it


def _tasks() -> Iterator[trio.lowlevel.Task]:
    """The main task and what it has started; not trio's own."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    nurseries = [root.child_nurseries[-1]] if root.child_nurseries else []
    while nurseries:
        for task in nurseries.pop().child_tasks:
            yield task
            nurseries += task.child_nurseries


def _lower_shields() -> None:
    """Let a cancellation reach every task: what hangs in a shield, hangs for good.

    Nothing public tells the scopes of a task. Without them trio reports its own
    internal error, with the deadlock in its text.
    """
    for task in _tasks():
        status: Any = getattr(task, "_cancel_status", None)
        while (scope := getattr(status, "_scope", None)) is not None:
            scope.shield = False
            status = getattr(status, "_parent", None)


async def guarded(function: Callable[..., Awaitable[T]], *args: Any, **kw: Any) -> T:
    """Await ``function()``; a deadlock ends it and is raised here."""
    with trio.CancelScope() as scope:

        def end() -> None:
            _lower_shields()
            scope.cancel()

        with _running.get().clock.guard(end):
            return await function(*args, **kw)
    raise AssertionError("the guard raises where the scope was cancelled")


def running_clock() -> VirtualClock | None:
    """The clock of the run, if it is in virtual time."""
    try:
        return _running.get().clock
    except LookupError:
        return None
