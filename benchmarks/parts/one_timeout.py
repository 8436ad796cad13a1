"""The cost of one time limit that is entered and left without firing."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import thread_time
from typing import Any, Literal

import anyio

import within

from .environment import is_installed, sleep_of
from .measuring import OURS, Contender, Figure, Turn, with_own_bytecode

BLOCKS = 200  # in each turn
FIRING = 20  # in each turn
LIMIT = 10  # seconds, which no turn takes

Form = Literal["with", "async with"]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """One way to limit time: its name, what makes the block, and how it is entered."""

    name: str
    make: Callable[[float], Any]
    form: Form = "async with"


def ways(loop: str, form: Form) -> list[Way]:
    """Ours, entered in ``form``, and every installed peer in the form that it has."""
    ours = Way(OURS, within.timeout, form)
    if loop == "trio":
        trio = importlib.import_module("trio")

        def bare(delay: float) -> Any:
            return trio.CancelScope(relative_deadline=delay)

        return [
            ours,
            Way("trio.fail_after", trio.fail_after, "with"),
            Way("trio.CancelScope", bare, "with"),
            Way("anyio.fail_after", anyio.fail_after, "with"),
        ]
    found = [ours, Way("asyncio.timeout", asyncio.timeout)]
    if is_installed("async_timeout"):
        make = importlib.import_module("async_timeout").timeout
        found.append(Way("async-timeout", make))
    if is_installed("quattro"):
        make = importlib.import_module("quattro").fail_after
        found.append(Way("quattro", make, "with"))
    return [*found, Way("anyio.fail_after", anyio.fail_after, "with")]


def figures(loop: str, *, quick: bool) -> list[Figure]:
    rounds = 5 if quick else 500
    forms: tuple[Form, Form] = ("async with", "with")
    unfired = [
        Figure(
            loop,
            f"{form} timeout({LIMIT}): pass",
            [
                *(Contender(way.name, block(loop, way)) for way in ways(loop, form)),
                *_floors(loop, form),
            ],
            rounds,
            _targets(loop, form),
        )
        for form in forms
    ]
    return [*unfired, _fired(loop, rounds)]


def _fired(loop: str, rounds: int) -> Figure:
    return Figure(
        loop,
        "a block whose deadline ends it",
        [Contender(way.name, _firing(loop, way)) for way in ways(loop, "async with")],
        rounds,
        {} if loop == "trio" else {"asyncio.timeout": 1.2},
    )


def _targets(loop: str, form: Form) -> dict[str, float]:
    if loop == "trio":
        if form == "async with":
            return {}
        return {"trio.fail_after": 0.95, "trio.CancelScope": 1.10}
    if form == "with":
        return {"asyncio.timeout": 0.55 if loop == "uvloop" else 0.60}
    return {"asyncio.timeout": 0.62 if loop == "uvloop" else 0.66}


# -- the turns ---------------------------------------------------------------

# All turns are timed by the CPU time of this thread, because nothing here waits, and
# other load on the machine must not count.


def block(loop: str, way: Way) -> Turn:
    """Enter and leave one kind of block again and again."""
    pause = sleep_of(loop)
    if way.name == "trio.CancelScope":  # measured without a function of ours around it
        scope = importlib.import_module("trio").CancelScope
        return with_own_bytecode(_bare(scope, pause))
    make = _awaited if way.form == "async with" else _direct
    return with_own_bytecode(make(way.make, pause))


def _awaited(make: Callable[[float], Any], pause: Sleep) -> Turn:
    async def turn() -> float:
        began = thread_time()
        for _ in range(BLOCKS):
            async with make(LIMIT):
                pass
        await pause(0)  # a pass in which the loop drops cancelled timers
        return (thread_time() - began) / BLOCKS

    return turn


def _direct(make: Callable[[float], Any], pause: Sleep) -> Turn:
    async def turn() -> float:
        began = thread_time()
        for _ in range(BLOCKS):
            with make(LIMIT):
                pass
        await pause(0)
        return (thread_time() - began) / BLOCKS

    return turn


def _firing(loop: str, way: Way) -> Turn:
    errors: tuple[type[Exception], ...] = (TimeoutError,)
    if loop == "trio":
        errors = (TimeoutError, importlib.import_module("trio").TooSlowError)
    fire = _fire_awaited if way.form == "async with" else _fire_direct
    return with_own_bytecode(fire(way.make, sleep_of(loop), errors))


def _fire_awaited(
    make: Callable[[float], Any], sleep: Sleep, errors: tuple[type[Exception], ...]
) -> Turn:
    async def turn() -> float:
        began = thread_time()
        for _ in range(FIRING):
            try:
                async with make(0):
                    await sleep(LIMIT)
            except errors:
                pass
        return (thread_time() - began) / FIRING

    return turn


def _fire_direct(
    make: Callable[[float], Any], sleep: Sleep, errors: tuple[type[Exception], ...]
) -> Turn:
    async def turn() -> float:
        began = thread_time()
        for _ in range(FIRING):
            try:
                with make(0):
                    await sleep(LIMIT)
            except errors:
                pass
        return (thread_time() - began) / FIRING

    return turn


def _bare(scope: Callable[..., Any], pause: Sleep) -> Turn:
    async def turn() -> float:
        began = thread_time()
        for _ in range(BLOCKS):
            with scope(relative_deadline=LIMIT):
                pass
        await pause(0)
        return (thread_time() - began) / BLOCKS

    return turn


# -- lower bounds --------------------------------------------------------------


class _Empty:
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        pass

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        pass


def _floors(loop: str, form: Form) -> list[Contender]:
    if form == "with":
        return [Contender("empty with", _empty_with)]
    floors = [Contender("empty async with", _empty_async_with)]
    if loop == "trio":
        return floors
    return [
        Contender("call_at + cancel", _timer),
        Contender("the least", _least),
        *floors,
    ]


async def _empty_with() -> float:
    began = thread_time()
    for _ in range(BLOCKS):
        with _Empty():
            pass
    return (thread_time() - began) / BLOCKS


async def _empty_async_with() -> float:
    began = thread_time()
    for _ in range(BLOCKS):
        async with _Empty():
            pass
    return (thread_time() - began) / BLOCKS


async def _least() -> float:
    """What every block needs: a call each way, the clock, the task."""
    clock, current_task = asyncio.get_running_loop().time, asyncio.current_task
    began = thread_time()
    for _ in range(BLOCKS):
        async with _Empty():
            clock()
            current_task()
    return (thread_time() - began) / BLOCKS


async def _timer() -> float:
    loop = asyncio.get_running_loop()
    began = thread_time()
    for _ in range(BLOCKS):
        loop.call_at(loop.time() + LIMIT, _nothing).cancel()
    await asyncio.sleep(0)
    return (thread_time() - began) / BLOCKS


def _nothing() -> None:
    pass
