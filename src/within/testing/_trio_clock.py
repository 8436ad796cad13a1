"""A trio clock for virtual time.

trio's own ``MockClock`` jumps past threads, reports no deadlock, is not reset between
runs, and adds up differences, which loses precision.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import trio
import trio.testing

from .._core import frames
from ._callers import callers, thread_frames
from ._clock import RunClock, finite_start
from ._deadlock import Deadlock
from ._outside import RECHECK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

T = TypeVar("T")


class VirtualTrioClock(trio.abc.Clock):
    """A clock for any number of runs; in each it starts from ``start``."""

    when_lost: Callable[[Deadlock], object] | None = None
    """Called before a run crashes because its tasks cannot be ended."""

    when_over: Callable[[], object] = staticmethod(lambda: None)
    """Called after each run."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = finite_start(start)

    def start_clock(self) -> None:
        run = _Run(RunClock(self._start, running_clock), self.when_over)
        _running.set(run)
        trio.lowlevel.add_instrument(run)

    def current_time(self) -> float:
        run = _running.get()
        # trio asks between two passes as well. It swallows what an instrument raises.
        if run.lost is not None and not trio.lowlevel.in_trio_task():
            self._crash(run.lost)
        return run.clock.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        try:
            return _running.get().sleep_time(deadline)
        except Deadlock as exc:
            self._crash(exc)

    def _crash(self, deadlock: Deadlock) -> NoReturn:
        if self.when_lost is not None:
            self.when_lost(deadlock)
        raise deadlock

    # The same attribute as in `MockClock`. Our backend sets it to infinity, which
    # stops the clock, while it waits for a child process.
    @property
    def autojump_threshold(self) -> float:
        return _running.get().threshold

    @autojump_threshold.setter
    def autojump_threshold(self, threshold: float) -> None:
        _running.get().threshold = threshold


class _Run(trio.abc.Instrument):
    """The virtual time of one run."""

    def __init__(self, clock: RunClock, when_over: Callable[[], object]) -> None:
        self.clock = clock
        self._when_over = when_over
        self.threshold = 0.0
        # Whether trio has looked for ready descriptors since a task last ran, and
        # the answer of `_real_wait()` from just before.
        self._has_looked = False
        self._wait = 0.0
        self._is_busy = False  # a task has run since trio last looked
        self._is_looking = False
        self.lost: Deadlock | None = None  # the tasks cannot be ended

    def after_run(self) -> None:
        self._when_over()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._has_looked = False
        self._is_busy = True
        self.clock.outside.restart()

    def before_io_wait(self, timeout: float) -> None:
        self._is_looking = True
        if timeout > 0 or not self._is_busy:
            return
        self._is_busy = False
        if self.clock.passes.show_polling(self.clock.now, self._is_at_work):
            try:
                self.clock.end_deadlock(_named_tasks(), is_polling=True)
            except Deadlock as exc:
                self.lost = exc

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        if self._is_looking:  # so it waited for a descriptor, or for another thread
            self.clock.passes.forget()

    def after_io_wait(self, timeout: float) -> None:
        self._is_looking = False

    def sleep_time(self, deadline: float) -> float:
        """How long trio is to wait in real seconds, now that no task can run."""
        clock = self.clock
        if deadline <= clock.now:
            return 0
        if not self._has_looked:
            # Ask before trio looks: a thread that ends in between makes a descriptor
            # ready.
            self._wait = self._real_wait(deadline)
            self._has_looked = True
            return 0
        if self._wait:
            self._has_looked = False
            return self._wait
        if deadline < math.inf:
            clock.move_to(deadline)
            return 0
        return 0 if clock.end_deadlock(_named_tasks()) else math.inf

    def _real_wait(self, deadline: float) -> float:
        """How long the clock must stand still before we look again, in real seconds.

        Zero lets the clock move; infinity means until trio is woken.
        """
        if self.threshold > 0 or _a_task_waits_for_idle():
            return math.inf
        # It does not wake trio when it begins to wait for an answer of this loop.
        if _a_thread_is_at_work():
            return RECHECK
        if deadline == math.inf:
            asking = callers(trio.lowlevel.current_trio_token())
            if self.clock.outside.may_wake_a_task(asking):
                return RECHECK
            if _a_task_waits_for_a_descriptor():
                return math.inf
        return self.clock.outside.patience()

    def _is_at_work(self) -> bool:
        """Whether a thread or child for which this loop waits is at work."""
        return self.threshold > 0 or _a_thread_is_at_work()


_running: trio.lowlevel.RunVar[_Run] = trio.lowlevel.RunVar("within virtual time")


_active_thread_count: Any = getattr(trio.testing, "active_thread_count", None)
_run_sync: Any = trio.to_thread.run_sync.__code__
# The function that trio wraps around the one that it was given, to run in a thread.
_worker: Any = next(
    (x for x in _run_sync.co_consts if getattr(x, "co_name", "") == "worker_fn"), None
)


def _a_thread_is_at_work() -> bool:
    borrowed = trio.to_thread.current_default_thread_limiter().borrowed_tokens
    if not borrowed and threading.active_count() == 1:
        return False
    token = trio.lowlevel.current_trio_token()
    workers = _workers(token)
    asking = workers & callers(token)
    # A thread that nobody waits for any more is found by the code that it runs.
    if workers - asking or borrowed > len(asking):
        return True
    # One with a limiter of its own, which may not run yet, is found by its task.
    if _active_thread_count is not None:
        return bool(_active_thread_count() > len(asking))
    return not asking and any(
        frame.f_code is _run_sync for task in _tasks() for frame in frames(task.coro)
    )


def _workers(token: trio.lowlevel.TrioToken) -> set[int]:
    """The identifiers of the threads that run something for trio.to_thread."""
    found: set[int] = set()
    for ident, innermost in thread_frames().items():
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code is not _worker:
            frame = frame.f_back
        if frame is not None and frame.f_locals.get("current_trio_token") is token:
            found.add(ident)
    return found


def _a_task_waits_for_idle() -> bool:
    """Whether a task is in `wait_all_tasks_blocked()`, which has to end first.

    trio has no public way to ask. A test fails loudly if trio moves this.
    """
    core: Any = trio
    context: Any = getattr(core._core._run, "GLOBAL_RUN_CONTEXT", None)
    return bool(getattr(getattr(context, "runner", None), "waiting_for_idle", False))


def _a_task_waits_for_a_descriptor() -> bool:
    io = trio.lowlevel.current_statistics().io_statistics
    kinds = ("", "_read", "_write", "_overlapped")
    waiting = sum(getattr(io, f"tasks_waiting{kind}", 0) for kind in kinds)
    return waiting > 1  # one is trio's own, by which other threads wake it


def _tasks() -> Iterator[trio.lowlevel.Task]:
    """The main task and all that it has started, without trio's own tasks."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    nurseries = [root.child_nurseries[-1]] if root.child_nurseries else []
    while nurseries:
        for task in nurseries.pop().child_tasks:
            yield task
            nurseries += task.child_nurseries


def _named_tasks() -> Iterator[tuple[str, Any]]:
    for task in _tasks():
        yield task.name, task.coro


def _lower_shields() -> None:
    """Let a cancellation reach every task: one that hangs in a shield hangs for good.

    trio has no public way to find the scopes of a task. Without this, trio reports an
    internal error of its own, with the deadlock in its text.
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
    raise AssertionError("the guard raises if the scope was cancelled")


class _EndedByDeadlock(BaseException):
    """Raised in a task that a deadlock ends, where a cancel scope cannot reach it."""


async def guarded_step(
    function: Callable[..., Awaitable[T]], *args: Any, **kw: Any
) -> T:
    """Like :func:`guarded`, for a part of a fixture.

    The part may open scopes that another part closes. So no scope can be around it, and
    the task is interrupted as trio does it for Ctrl-C.
    """
    task: Any = trio.lowlevel.current_task()

    def interrupt() -> NoReturn:
        raise _EndedByDeadlock

    def end() -> None:
        _lower_shields()
        if task._abort_func is not None:  # private; a test fails loudly if it moves
            task._attempt_abort(interrupt)

    with _running.get().clock.guard(end):
        return await function(*args, **kw)


def run(function: Callable[..., Awaitable[T]], *args: Any, start: float) -> T:
    """Run a coroutine function, which raises deadlocks by itself, in virtual time."""
    try:
        return trio.run(function, *args, clock=VirtualTrioClock(start))
    except trio.TrioInternalError as exc:
        if isinstance(exc.__cause__, Deadlock):  # trio could not know ours
            raise exc.__cause__ from None
        raise


def running_clock() -> RunClock | None:
    """The clock of the running trio, if that run is in virtual time."""
    try:
        return _running.get().clock
    except (LookupError, RuntimeError):  # real time; no trio here
        return None
