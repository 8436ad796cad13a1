"""Some figures at growing sizes."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Iterator
from functools import partial
from time import perf_counter

from . import many_timeouts, peer_children, processes
from .environment import LOOPS, is_installed
from .measuring import Contender, Curve, Figure, Turn

DESCRIPTORS = 10_000


def curves(*, quick: bool) -> Iterator[Curve]:
    many = [1, 10] if quick else [1, 10, 100, 1_000, 10_000, 100_000]
    some = [1, 5] if quick else [1, 3, 10, 30, 100, 300, 1_000]
    sizes = [2**10, 2**15] if quick else [2**power for power in range(10, 31, 2)]
    for loop in filter(is_installed, LOOPS):
        yield Curve(
            loop,
            "one timeout, entered and left while others are open",
            "open timeouts",
            {n: many_timeouts.one_more(loop, n, _rounds(n, 100_000)) for n in many},
        )
        yield Curve(
            loop,
            "timeouts open at once, each in a task: one, over none",
            "open timeouts",
            {n: many_timeouts.open_at_once(loop, n, _rounds(n, 100_000)) for n in many},
        )
        if os.name != "posix":
            continue
        _allow_descriptors()
        yield Curve(
            loop,
            "children alive at once: one, from start to end",
            "children",
            {n: _alive_at_once(loop, n, _rounds(n, 300)) for n in some},
        )
        yield Curve(
            loop,
            "output of a child, captured",
            "bytes",
            {n: processes.output(loop, n, _rounds(n, 2**28)) for n in sizes},
        )


def _allow_descriptors() -> None:
    """A thousand children need more descriptors than many shells allow by default."""
    import resource

    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed not in (most, resource.RLIM_INFINITY):
        wanted = most if most != resource.RLIM_INFINITY else DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), most))


def _rounds(size: int, large: int) -> int:
    """Fewer rounds for large sizes, which take long."""
    return 3 if size >= large else 5 if size >= large // 10 else 15


def _alive_at_once(loop: str, count: int, rounds: int) -> Figure:
    return Figure(
        loop,
        f"{count:,} children alive at once: each",
        [
            Contender(name, _turn(loop, one, count))
            for name, one in peer_children.alive(loop).items()
        ],
        rounds,
    )


def _turn(loop: str, one: peer_children.Alive, count: int) -> Turn:
    async def turn() -> float:
        all_alive = _event(loop)
        up = 0

        async def hold() -> None:
            nonlocal up
            up += 1
            if up == count:
                all_alive.set()
            await all_alive.wait()

        began = perf_counter()
        await many_timeouts.together(loop, [partial(one, hold)] * count)
        return (perf_counter() - began) / count

    return turn


def _event(loop: str) -> asyncio.Event:
    if loop != "trio":
        return asyncio.Event()
    event: asyncio.Event = importlib.import_module("trio").Event()
    return event
