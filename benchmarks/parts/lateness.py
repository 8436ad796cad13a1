"""How late a busy loop notices a deadline, compared with the loop's own timers.

A deadline is noticed when the cancellation is requested. How long the loop then takes
to resume the task is the same for every contender, and is not measured.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import statistics
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic, perf_counter
from typing import Any

import within

from .environment import is_installed, sleep_of
from .many_timeouts import together
from .measuring import OURS, Contender, Figure, Turn

BUSY_TASKS, BUSY = 10, 0.000_1  # tasks, and the seconds that each works in a pass
LEAD = 0.02  # seconds in which all tasks start
READINGS = ("p50", "p99")

# Waits until a deadline, and calls the function when the deadline is noticed.
Wait = Callable[[float, Callable[[], None]], Awaitable[None]]


def figures(loop: str, *, quick: bool) -> list[Figure]:
    count, span = (50, 0.03) if quick else (500, 0.25)
    waits = _trio_waits() if loop == "trio" else _asyncio_waits()
    own = "trio.fail_at" if loop == "trio" else "call_at"
    return [
        Figure(
            loop,
            "lateness under load",
            [
                Contender(name, _turn(loop, wait, count, span))
                for name, wait in waits.items()
            ],
            2 if quick else 11,
            {own: 1.1},
            readings=READINGS,
        )
    ]


def _turn(loop: str, wait: Wait, count: int, span: float) -> Turn:
    async def turn() -> tuple[float, ...]:
        rng = random.Random(7)  # the same for every contender
        clock = _clock(loop)
        start = clock() + LEAD
        late: list[float] = []

        async def one(deadline: float) -> None:
            def note() -> None:
                late.append(clock() - deadline)

            await wait(deadline, note)

        async def busy() -> None:
            pause = sleep_of(loop)
            while len(late) < count:
                until = perf_counter() + BUSY
                while perf_counter() < until:
                    pass
                await pause(0)

        ones = [partial(one, start + rng.uniform(0, span)) for _ in range(count)]
        await together(loop, [*ones, *[busy] * BUSY_TASKS])
        return statistics.median(late), statistics.quantiles(late, n=100)[98]

    return turn


def _clock(loop: str) -> Callable[[], float]:
    if loop != "trio":
        return monotonic  # uvloop's own clock is this one, in whole milliseconds
    clock: Callable[[], float] = importlib.import_module("trio").current_time
    return clock


# -- asyncio and uvloop ------------------------------------------------------


def _asyncio_waits() -> dict[str, Wait]:
    waits: dict[str, Wait] = {
        OURS: partial(_asyncio_awaited, within.timeout_at),
        "call_at": _call_at,
        "call_at, again if early": partial(_call_at, is_patient=True),
        "asyncio.timeout": partial(_asyncio_awaited, asyncio.timeout_at),
    }
    if is_installed("async_timeout"):
        make = importlib.import_module("async_timeout").timeout_at
        waits["async-timeout"] = partial(_asyncio_awaited, make)
    if is_installed("quattro"):
        make = importlib.import_module("quattro").fail_at
        waits["quattro"] = partial(_asyncio_direct, make)
    return waits


class _Waiter(asyncio.Future[None]):
    """A future that is never done and calls ``note`` when it is cancelled."""

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self._note = note

    def cancel(self, msg: Any = None) -> bool:
        self._note()
        return super().cancel(msg)


async def _asyncio_awaited(
    make: Callable[[float], Any], deadline: float, note: Callable[[], None]
) -> None:
    with suppress(TimeoutError):
        async with make(deadline):
            await _Waiter(note)


async def _asyncio_direct(
    make: Callable[[float], Any], deadline: float, note: Callable[[], None]
) -> None:
    with suppress(TimeoutError):
        with make(deadline):
            await _Waiter(note)


async def _call_at(
    deadline: float, note: Callable[[], None], *, is_patient: bool = False
) -> None:
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def ring() -> None:
        # uvloop rounds to the nearest millisecond; T1 does not allow us that.
        if is_patient and loop.time() < deadline:
            loop.call_at(deadline, ring)
            return
        note()
        over.set_result(None)

    loop.call_at(deadline, ring)
    await over


# -- trio --------------------------------------------------------------------


def _trio_waits() -> dict[str, Wait]:
    trio = importlib.import_module("trio")

    def bare(deadline: float) -> Any:
        return trio.CancelScope(deadline=deadline)

    return {
        OURS: partial(_trio_wait, trio, within.timeout_at),
        "trio.fail_at": partial(_trio_wait, trio, trio.fail_at),
        "trio.CancelScope": partial(_trio_wait, trio, bare),
    }


async def _trio_wait(
    trio: Any,
    make: Callable[[float], Any],
    deadline: float,
    note: Callable[[], None],
) -> None:
    def abort(raise_cancel: object) -> Any:
        note()
        return trio.lowlevel.Abort.SUCCEEDED

    with suppress(TimeoutError, trio.TooSlowError):
        with make(deadline):
            await trio.lowlevel.wait_task_rescheduled(abort)
