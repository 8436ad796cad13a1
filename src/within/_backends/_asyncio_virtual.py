"""An asyncio loop in virtual time."""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..testing._clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at ``start`` and never waits."""

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
        return math.ulp(self.virtual_clock._now)

    @_clock_resolution.setter
    def _clock_resolution(self, value: float) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._back_from_thread)
        return future

    def _back_from_thread(self, future: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def _is_at_work(self) -> bool:
        """Whether a thread or a child that somebody waits for is at work."""
        backend = getattr(self, "_within_backend", None)
        if self._in_threads or (backend and (backend._readers or backend._writers)):
            return True
        if "anyio._backends._asyncio" not in sys.modules:
            return False
        from ._asyncio_anyio import has_thread_at_work

        return has_thread_at_work(self)

    def _jump(self) -> bool:
        """Go to the next timer; false if there is none, but a descriptor to wait for."""
        clock = self.virtual_clock
        timers = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]
        if timers and timers[0].when() < math.inf:
            clock._now = max(clock._now, timers[0].when())
            return True
        # One descriptor is the loop's own, by which other threads wake it.
        watched = len(self._selector.get_map())  # type: ignore[attr-defined]
        if watched > 1 or clock.is_reachable():
            return False
        tasks = asyncio.all_tasks(self)
        return clock.deadlock((task.get_name(), task.get_coro()) for task in tasks)


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        # Asked for before we look: what ends in between can be seen then.
        at_work = self._loop._is_at_work()
        ready = super().select(0)
        if ready or (not at_work and self._loop._jump()):
            return ready
        # `timeout` is in virtual seconds, of which none pass here.
        return super().select(None)


async def guarded(function: Callable[..., Awaitable[T]], *args: Any, **kw: Any) -> T:
    """Await ``function()``; a deadlock ends it and is raised here."""
    clock, task = running_clock(), asyncio.current_task()
    assert clock is not None
    assert task is not None
    requests = task.cancelling()
    try:
        with clock.guard(task.cancel):
            return await function(*args, **kw)
    finally:
        while clock._deadlock is not None and task.cancelling() > requests:
            task.uncancel()


def running_clock() -> VirtualClock | None:
    """The clock of the running loop, if it is in virtual time."""
    return getattr(asyncio._get_running_loop(), "virtual_clock", None)
