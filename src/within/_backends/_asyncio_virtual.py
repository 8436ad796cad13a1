"""An asyncio loop in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..testing._clock import GLANCE, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at ``start`` and never waits."""

    _default_executor: Any  # asyncio's own, as is this:
    _closed = True  # until it is made, as for a `start` that is none

    def __init__(self, start: float = 0.0) -> None:
        self.virtual_clock = VirtualClock(start)
        self._in_threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.virtual_clock._now

    # The loop runs a timer that lies less than this ahead. With less than one
    # step of the clock none would ever be due, with more some would be early.
    @property
    def _clock_resolution(self) -> float:
        now = self.virtual_clock._now
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
        watched = _Watched(executor)
        future = super().run_in_executor(cast("Any", watched), func, *args)
        self._in_threads += 1
        # Of the work and not of `future`, which ends when it is cancelled; and after
        # the loop's own, so that the result is here before the thread is forgotten.
        watched.work.add_done_callback(self._back_from_thread)
        return future

    def _back_from_thread(self, work: Future[Any]) -> None:
        def count() -> None:
            self._in_threads -= 1

        with contextlib.suppress(RuntimeError):  # closed
            self.call_soon_threadsafe(count, context=Context())

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        # A thread waits for the others, and the loop for it: with a limit, of which
        # no second may pass meanwhile.
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._in_threads -= 1

    def _held_for(self) -> float:
        """For how long the clock must not move, in real seconds; infinity until a
        descriptor is ready.
        """
        backend = getattr(self, "_within_backend", None)
        if self._in_threads or (backend and (backend._readers or backend._writers)):
            return math.inf
        if "anyio._backends._asyncio" in sys.modules:
            from ._asyncio_anyio import has_thread_at_work

            # Such a thread says that it is done before it is seen to be: that the
            # loop has been woken by it does not mean that it will be again.
            if has_thread_at_work(self):
                return GLANCE
        if self._next_timer() < math.inf:
            return 0
        if self.virtual_clock.is_reachable() or _has_guest():
            return GLANCE
        # One descriptor is the loop's own, by which other threads wake it.
        watched = len(self._selector.get_map())  # type: ignore[attr-defined]
        return math.inf if watched > 1 else 0

    def _next_timer(self) -> float:
        timers = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]
        return timers[0].when() if timers else math.inf

    def _jump(self) -> bool:
        """Go to the next timer, or report that there is none."""
        clock, when = self.virtual_clock, self._next_timer()
        if when < math.inf:
            clock._now = max(clock._now, when)
            return True
        tasks = asyncio.all_tasks(self)
        names = ((task.get_name(), task.get_coro()) for task in tasks)
        return clock.deadlock(names, may_raise=True)


class _Watched:
    """An executor, and what was last submitted to it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.work: Future[Any] = Future()

    def submit(self, func: Callable[..., Any], *args: Any) -> Future[Any]:
        self.work = self._executor.submit(func, *args)
        return self.work


def _has_guest() -> bool:
    """Whether trio runs as a guest on this loop, where one of its threads waits."""
    trio: Any = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        # Asked before we look: what ends in between has made a descriptor ready.
        held = self._loop._held_for()
        ready = super().select(0)
        if ready or (not held and self._loop._jump()):
            return ready
        # `timeout` is in virtual seconds, of which none pass here.
        return super().select(held if 0 < held < math.inf else None)


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
        task.cancel()
        if ours > 1:  # a task that it waits for does so in a shield
            for other in asyncio.all_tasks() - before:
                other.cancel()

    try:
        with clock.guard(end):
            return await function(*args, **kw)
    finally:
        for _ in range(min(ours, task.cancelling() - requests)):
            task.uncancel()


def running_clock() -> VirtualClock | None:
    """The clock of the running loop, if it is in virtual time."""
    return getattr(asyncio._get_running_loop(), "virtual_clock", None)
