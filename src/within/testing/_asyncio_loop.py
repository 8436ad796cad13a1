"""An asyncio event loop in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._backends._asyncio import backend_of_running_loop
from .._backends._asyncio._waiting import (
    throw_cancellation,
    waiter_of,
    waits_in_a_circle,
)
from ._callers import callers
from ._clock import RunClock
from ._outside import RECHECK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Executor

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at ``start`` and never waits.

    ``BaseEventLoop`` has no public way to replace its selector's timeout, to see its
    next timer or its default executor, so this class uses private attributes of it:
    ``_scheduled``, ``_selector``, ``_default_executor``, ``_clock_resolution`` and
    two checks. Every test in virtual time fails if they move.
    """

    _default_executor: Any
    # Read by `__del__`, which runs even if `__init__` has raised for a bad `start`.
    _closed = True

    def __init__(self, start: float = 0.0) -> None:
        self.virtual_clock = RunClock(start, running_clock)
        # How many calls each executor has in hand; `None` stands for its shutdown.
        self._calls: Counter[object] = Counter()
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.virtual_clock.now

    # The loop runs each timer that is due within this many seconds. It has to be one
    # step of the clock: with less, no timer would ever be due; with more, some timers
    # would be early.
    @property
    def _clock_resolution(self) -> float:
        now = self.virtual_clock.now
        return math.nextafter(now, math.inf) - now

    @_clock_resolution.setter
    def _clock_resolution(self, value: float) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._check_closed()  # type: ignore[attr-defined]
        if executor is None:
            self._check_default_executor()  # type: ignore[attr-defined]
            executor = self._default_executor
            if executor is None:
                executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
                self.set_default_executor(executor)
        watched = _WatchedExecutor(executor)
        future = super().run_in_executor(cast("Any", watched), func, *args)
        self._calls[executor] += 1
        # The callback belongs to the work and not to `future`, which ends as soon as
        # it is cancelled. It is added after the loop's own callback, so that the
        # result has arrived before the thread is no longer counted.
        watched.work.add_done_callback(partial(self._call_is_done, executor))
        return future

    def _call_is_done(self, executor: object, work: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.call_soon_threadsafe(self._forget_call, executor, context=Context())

    def _forget_call(self, executor: object) -> None:
        self._calls[executor] -= 1
        if not self._calls[executor]:
            del self._calls[executor]

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        # asyncio joins the threads of the pool from another thread, with a limit. No
        # virtual time may pass meanwhile, or the limit would expire at once.
        self._calls[None] += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._forget_call(None)

    def real_wait(self, deadline: float) -> float:
        """How long the clock must stand still before we look again, in real seconds.

        Zero lets the clock move to ``deadline``; infinity means until a descriptor is
        ready.
        """
        if self._awaits_a_child():
            return math.inf
        # Neither of these wakes the loop: a thread begins to wait for an answer of the
        # loop; a worker thread of anyio, which has woken it before, becomes idle.
        if self._awaits_a_thread():
            return RECHECK
        outside = self.virtual_clock.outside
        if deadline == math.inf:
            if outside.may_wake_a_task(callers(self)) or _has_trio_guest():
                return RECHECK
            # One descriptor is the loop's own, by which other threads wake it.
            if len(self._selector.get_map()) > 1:  # type: ignore[attr-defined]
                return math.inf
        return outside.patience()

    def is_at_work(self) -> bool:
        """Whether a thread or child for which this loop waits is at work."""
        return self._awaits_a_child() or self._awaits_a_thread() or _has_trio_guest()

    def _awaits_a_child(self) -> bool:
        backend = backend_of_running_loop()
        return backend is not None and bool(backend.descriptors)

    def _awaits_a_thread(self) -> bool:
        if self._calls:
            asking = callers(self)
            if any(_is_at_work(x, calls, asking) for x, calls in self._calls.items()):
                return True
        return _anyio_thread_is_at_work(self)

    def next_timer(self) -> float:
        timers = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]
        return timers[0].when() if timers else math.inf

    def end_polling(self) -> None:
        """Report a task that polls."""
        self.virtual_clock.end_deadlock(self._waiting_tasks(), is_polling=True)

    def _waiting_tasks(self) -> Iterator[tuple[str, Any]]:
        for task in asyncio.all_tasks(self):
            yield task.get_name(), task.get_coro()

    def jump(self) -> bool:
        """Move to the next timer, or report a deadlock.

        Returns:
            Whether there is something to run now.
        """
        clock, when = self.virtual_clock, self.next_timer()
        if when < math.inf:
            clock.move_to(when)
            return True
        return clock.end_deadlock(self._waiting_tasks(), may_raise=True)


class _WatchedExecutor:
    """An executor that keeps the future of what was last submitted to it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.work: Future[Any] = Future()

    def submit(self, func: Callable[..., Any], *args: Any) -> Future[Any]:
        self.work = self._executor.submit(func, *args)
        return self.work


def _is_at_work(executor: object, calls: int, asking: set[int]) -> bool:
    """Whether an executor works on one of its calls, or is about to.

    A call in the queue of a pool is not, while all threads of the pool wait for an
    answer of the loop. The threads are private; a test fails loudly if they move.
    """
    threads: Any = getattr(executor, "_threads", None)
    if not isinstance(executor, ThreadPoolExecutor) or threads is None:
        return True
    blocked = sum(thread.ident in asking for thread in tuple(threads))
    return blocked < min(calls, len(threads))


def _anyio_thread_is_at_work(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a worker thread of anyio has something to do for ``loop``.

    `WorkerThread` and its attributes are private to anyio; a test fails loudly if
    they move.
    """
    module: Any = sys.modules.get("anyio._backends._asyncio")
    kind: Any = getattr(module, "WorkerThread", ())
    threads: list[Any] = threading.enumerate()
    at_work = {
        thread.ident
        for thread in threads
        if isinstance(thread, kind)
        and thread.loop is loop
        and thread.queue.unfinished_tasks > 0
    }
    return bool(at_work and at_work - callers(loop))


def _has_trio_guest() -> bool:
    """Whether trio runs as a guest on this loop and waits in one of its threads."""
    trio: Any = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        clock = self._loop.virtual_clock
        if timeout is not None and timeout <= 0:
            ready = super().select(0)
            if not ready and clock.passes.show_polling(
                clock.now, self._loop.is_at_work
            ):
                self._loop.end_polling()
        else:
            # Ask before looking: a thread that ends in between makes a descriptor ready.
            wait = self._loop.real_wait(self._loop.next_timer())
            ready = super().select(0)
            if not ready and (wait or not self._loop.jump()):
                # `timeout` is ignored: it is in virtual seconds, and none pass in here.
                ready = super().select(wait if 0 < wait < math.inf else None)
                if not ready:
                    return ready
        if ready:
            clock.passes.forget()
        clock.outside.restart()
        return ready


async def guarded(function: Callable[..., Awaitable[T]], *args: Any, **kw: Any) -> T:
    """Await ``function()``; a deadlock ends it and is raised here."""
    clock, task = running_clock(), asyncio.current_task()
    assert clock is not None
    assert task is not None
    requests, ours = task.cancelling(), 0
    before = asyncio.all_tasks()

    def end() -> None:
        nonlocal ours
        ours += 1
        _cancel(task)
        for other in asyncio.all_tasks() - before:
            # After the first time, the task awaits another one, in a shield. Tasks in
            # a circle are ended at once, because the loop cannot do so when it closes.
            if ours > 1 or waits_in_a_circle(other):
                _cancel(other)

    try:
        with clock.guard(end):
            return await function(*args, **kw)
    finally:
        for _ in range(min(ours, task.cancelling() - requests)):
            task.uncancel()


def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, even if it waits for tasks that wait for one another in a circle.

    ``Task.cancel()`` would go round the circle until the stack overflows.
    """
    if waits_in_a_circle(task):
        throw_cancellation(task, waiter_of(task), "deadlock")
    else:
        task.cancel()


def running_clock() -> RunClock | None:
    """The clock of the running loop, if that loop is in virtual time."""
    try:
        return getattr(asyncio.get_running_loop(), "virtual_clock", None)
    except RuntimeError:
        return None
