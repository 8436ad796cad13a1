"""An asyncio loop on virtual time: a sleep of an hour takes none.

The clock stands still while anything runs, and jumps to the next timer when
every task is blocked.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at ``start`` and never waits."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._in_threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    # The loop runs a timer that lies less than this ahead. With less than one
    # step of the clock none would ever be due, with more some would be early.
    @property
    def _clock_resolution(self) -> float:
        return math.ulp(self._now)

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

    def _jump(self) -> bool:
        """Nothing is ready: go to the next timer, unless work goes on elsewhere."""
        backend = getattr(self, "_within_backend", None)
        if self._in_threads or (backend and (backend._readers or backend._writers)):
            return False  # a thread or a child, in real time
        timers = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]
        if timers and timers[0].when() < math.inf:
            self._now = max(self._now, timers[0].when())
            return True
        # One descriptor is the loop's own, by which other threads wake it.
        if len(self._selector.get_map()) > 1:  # type: ignore[attr-defined]
            return False
        tasks = [_where(task) for task in asyncio.all_tasks(self)]
        raise RuntimeError(
            f"deadlock at {self._now:g} s of virtual time: nothing is left that could "
            "ever wake\n  " + "\n  ".join(sorted(tasks))
        )


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0) or self._loop._jump():
            return ready
        return super().select(timeout)


def _where(task: asyncio.Task[Any]) -> str:
    """A task, and the line of code at which it waits."""
    frame: Any = None
    waiting: Any = task.get_coro()
    while (inner := getattr(waiting, "cr_frame", None)) is not None:
        frame, waiting = inner, waiting.cr_await
    if frame is None:
        return task.get_name()
    code = frame.f_code
    return f"{task.get_name()}: {code.co_filename}:{frame.f_lineno} in {code.co_name}"
