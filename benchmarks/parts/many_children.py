"""The cost of children when many of them run, and what a start keeps waiting."""

from __future__ import annotations

import asyncio
import importlib
import resource
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter, process_time
from typing import Any

from . import peer_children
from .environment import sleep_of
from .many_timeouts import together
from .measuring import OURS, Contender, Curve, Figure, Turn

DESCRIPTORS = 10_000
STARTS = 20  # in a turn that looks for the longest standstill


def figures(loop: str, *, quick: bool) -> list[Figure]:
    allow_descriptors()
    count = 10 if quick else 1_000
    at_once = alive_at_once(loop, count, 2 if quick else 5)
    return [
        Figure(
            loop,
            at_once.title,
            [each for each in at_once.contenders if each.name in (OURS, loop)],
            at_once.rounds,
            {loop: 0.8},
            readings=at_once.readings,
        ),
        _standstill(loop, 3 if quick else STARTS, 2 if quick else 31),
    ]


def curve(loop: str, counts: list[int], rounds: Callable[[int, int], int]) -> Curve:
    allow_descriptors()
    return Curve(
        loop,
        "children alive at once: one, from start to end",
        "children",
        {n: _wall_alone(alive_at_once(loop, n, rounds(n, 300))) for n in counts},
    )


def allow_descriptors() -> None:
    """A thousand children need more descriptors than many shells allow by default."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed not in (most, resource.RLIM_INFINITY):
        wanted = most if most != resource.RLIM_INFINITY else DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), most))


# -- alive at once -----------------------------------------------------------


def alive_at_once(loop: str, count: int, rounds: int) -> Figure:
    return Figure(
        loop,
        f"{count:,} children alive at once: each",
        [
            Contender(name, _crowd(loop, one, count))
            for name, one in peer_children.alive(loop).items()
        ],
        rounds,
        readings=("wall time", "our CPU time"),
    )


def _crowd(loop: str, one: peer_children.Alive, count: int) -> Turn:
    async def turn() -> tuple[float, ...]:
        all_alive = _event(loop)
        up = 0

        async def hold() -> None:
            nonlocal up
            up += 1
            if up == count:
                all_alive.set()
            await all_alive.wait()

        began, used = perf_counter(), process_time()
        await together(loop, [partial(one, hold)] * count)
        return (perf_counter() - began) / count, (process_time() - used) / count

    return turn


def _wall_alone(figure: Figure) -> Figure:
    def wall(turn: Turn) -> Turn:
        async def first() -> float:
            reading = await turn()
            return reading[0] if isinstance(reading, tuple) else reading

        return first

    contenders = [Contender(each.name, wall(each.turn)) for each in figure.contenders]
    return Figure(figure.loop, figure.title, contenders, figure.rounds)


def _event(loop: str) -> asyncio.Event:
    if loop != "trio":
        return asyncio.Event()
    event: asyncio.Event = importlib.import_module("trio").Event()
    return event


# -- a start holds up the loop -----------------------------------------------


def _standstill(loop: str, starts: int, rounds: int) -> Figure:
    own = peer_children.captures(loop)[loop]
    captures = {OURS: peer_children.within_capture, loop: own}
    return Figure(
        loop,
        f'run("true") {starts} times: the longest time that other tasks wait',
        [
            Contender(name, _longest(loop, capture, starts))
            for name, capture in captures.items()
        ],
        rounds,
        {loop: 1.0},
    )


def _longest(
    loop: str, capture: Callable[[list[str], bytes | None], Awaitable[Any]], starts: int
) -> Turn:
    async def turn() -> float:
        longest, is_over = 0.0, False

        async def tick() -> None:
            nonlocal longest
            sleep, before = sleep_of(loop), perf_counter()
            while not is_over:
                await sleep(0)
                now = perf_counter()
                longest, before = max(longest, now - before), now

        async def start() -> None:
            nonlocal is_over
            for _ in range(starts):
                await capture(["true"], None)
            is_over = True

        await together(loop, [tick, start])
        return longest

    return turn
