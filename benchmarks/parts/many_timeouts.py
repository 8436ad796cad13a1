"""The cost and the memory of time limits when thousands are open at once."""

from __future__ import annotations

import asyncio
import importlib
import random
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from time import thread_time
from typing import Any, TypeVar

from .environment import sleep_of
from .measuring import Contender, Figure, Turn, with_own_bytecode
from .one_timeout import Way, block, ways

T = TypeVar("T")
Body = Callable[[], Coroutine[Any, Any, object]]

NEVER = 3600.0  # seconds
SMALL = 200  # a crowd of fewer blocks is timed several times over
NONE = "none"  # the contender without a time limit
TURNOVER = 11  # short blocks in each task that has any; the last one fires
SHORT = (0.001, 0.005)  # seconds until a block fires


def figures(loop: str, *, quick: bool) -> list[Figure]:
    return [
        open_at_once(loop, 500 if quick else 50_000, 2 if quick else 7),
        _memory(loop, 200 if quick else 10_000, 2 if quick else 3),
        _among(loop, 200 if quick else 20_000, 20 if quick else 500, quick=quick),
    ]


def reference(loop: str) -> str:
    return "trio.fail_after" if loop == "trio" else "asyncio.timeout"


def open_at_once(loop: str, count: int, rounds: int) -> Figure:
    """``count`` tasks, each waiting in a block: what the block adds to the task."""
    return Figure(
        loop,
        f"{count:,} open at once: cost of one, over none",
        _with_none(loop, lambda make: _opened(loop, make, count)),
        rounds,
        {} if loop == "trio" else {"asyncio.timeout": 0.5},
        base=NONE,
    )


def one_more(loop: str, count: int, rounds: int) -> Figure:
    """One block entered and left again and again, while ``count`` others are open."""
    return Figure(
        loop,
        f"one entered and left while {count:,} are open",
        [
            Contender(way.name, _beside(loop, _waiter(way), count, block(loop, way)))
            for way in _serious(loop)
        ],
        rounds,
    )


def _memory(loop: str, count: int, rounds: int) -> Figure:
    return Figure(
        loop,
        "memory of an open timeout",
        _with_none(loop, lambda make: _held(loop, make, count)),
        rounds,
        {} if loop == "trio" else {"asyncio.timeout": 0.6},
        unit="B",
        base=NONE,
    )


def _among(loop: str, long: int, short: int, *, quick: bool) -> Figure:
    return Figure(
        loop,
        f"{long:,} open while short ones come, go and fire",
        [
            Contender(
                way.name,
                _beside(loop, _waiter(way), long, _settled(_comings(loop, way, short))),
            )
            for way in _serious(loop)
        ],
        2 if quick else 11,
        {} if loop == "trio" else {"asyncio.timeout": 1.0},
    )


def _serious(loop: str) -> list[Way]:
    """All ways but anyio's, with which these figures would take minutes."""
    return [way for way in ways(loop, "async with") if not way.name.startswith("anyio")]


def _with_none(
    loop: str, turn: Callable[[Callable[..., Body]], Turn]
) -> list[Contender]:
    contenders = [Contender(w.name, turn(_waiter(w))) for w in _serious(loop)]
    return [*contenders, Contender(NONE, turn(_waiter(None)))]


# -- many tasks, each in a block ---------------------------------------------


def _waiter(way: Way | None) -> Callable[[Any], Body]:
    """A function that makes the body of a task: it waits for an event in a block."""
    if way is None:
        return _plain
    return partial(_awaited if way.form == "async with" else _direct, way.make)


def _plain(gate: Any) -> Body:
    async def wait() -> None:
        await gate.wait()

    return with_own_bytecode(wait)


def _awaited(make: Callable[[float], Any], gate: Any) -> Body:
    async def wait() -> None:
        async with make(NEVER):
            await gate.wait()

    return with_own_bytecode(wait)


def _direct(make: Callable[[float], Any], gate: Any) -> Body:
    async def wait() -> None:
        with make(NEVER):
            await gate.wait()

    return with_own_bytecode(wait)


async def _crowd(
    loop: str,
    make: Callable[[Any], Body],
    count: int,
    meanwhile: Callable[[], Awaitable[T]],
) -> T:
    """Start ``count`` waiting tasks, await ``meanwhile()``, then let them all go."""
    if loop == "trio":
        trio = importlib.import_module("trio")
        gate = trio.Event()
        body = make(gate)
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(body)
            # After one pass this task may still run before some of them.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            result = await meanwhile()
            gate.set()
        return result
    event = asyncio.Event()
    body = make(event)
    create_task = asyncio.get_running_loop().create_task
    tasks = [create_task(body()) for _ in range(count)]
    await asyncio.sleep(0)
    result = await meanwhile()
    event.set()
    await asyncio.gather(*tasks)
    return result


def _opened(loop: str, make: Callable[[Any], Body], count: int) -> Turn:
    times = max(1, SMALL // count)

    async def turn() -> float:
        began = thread_time()
        for _ in range(times):
            await _crowd(loop, make, count, _at_once)
        return (thread_time() - began) / (count * times)

    return turn


def _held(loop: str, make: Callable[[Any], Body], count: int) -> Turn:
    async def look() -> int:
        return tracemalloc.get_traced_memory()[0]

    async def turn() -> float:
        tracemalloc.start()
        try:
            return await _crowd(loop, make, count, look) / count
        finally:
            tracemalloc.stop()

    return turn


async def _at_once() -> None:
    pass


# -- short ones among long ones ----------------------------------------------


def _beside(loop: str, make: Callable[[Any], Body], count: int, short: Turn) -> Turn:
    async def turn() -> float:
        reading = await _crowd(loop, make, count, short)
        assert isinstance(reading, float)
        return reading

    return turn


def _settled(short: Turn) -> Turn:
    """Measure the second time, when the cost of starting the crowd is over."""

    async def turn() -> Any:
        await short()
        return await short()

    return turn


def _comings(loop: str, way: Way, tasks: int) -> Turn:
    """The CPU time of a short block: each task has eleven, the last one fires."""
    brief = _brief_awaited if way.form == "async with" else _brief_direct
    body = with_own_bytecode(brief)
    errors: tuple[type[Exception], ...] = (TimeoutError,)
    if loop == "trio":
        errors = (TimeoutError, importlib.import_module("trio").TooSlowError)

    async def turn() -> float:
        rng = random.Random(5)  # the same for every contender
        plans = [[rng.uniform(1, 5) for _ in range(TURNOVER - 1)] for _ in range(tasks)]
        began = thread_time()
        await together(
            loop,
            [
                partial(body, loop, way.make, plan, rng.uniform(*SHORT), errors)
                for plan in plans
            ],
        )
        return (thread_time() - began) / (tasks * TURNOVER)

    return turn


async def _brief_awaited(
    loop: str,
    make: Callable[[float], Any],
    delays: list[float],
    last: float,
    errors: tuple[type[Exception], ...],
) -> None:
    sleep = sleep_of(loop)
    for delay in delays:
        async with make(delay):
            await sleep(0)
    with suppress(*errors):
        async with make(last):
            await sleep(NEVER)


async def _brief_direct(
    loop: str,
    make: Callable[[float], Any],
    delays: list[float],
    last: float,
    errors: tuple[type[Exception], ...],
) -> None:
    sleep = sleep_of(loop)
    for delay in delays:
        with make(delay):
            await sleep(0)
    with suppress(*errors):
        with make(last):
            await sleep(NEVER)


async def together(loop: str, bodies: list[Body]) -> None:
    """Run each body in a task, with the loop's own nursery or task group."""
    if loop == "trio":
        async with importlib.import_module("trio").open_nursery() as nursery:
            for body in bodies:
                nursery.start_soon(body)
        return
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(body())
