"""T21: our limits and those of other libraries, nested either way around.

Our deadline comes first, or the other library's does, or the loop notices both in the
same pass.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import anyio
import pytest
import trio
from neighbours import (
    INSTANT,
    LATER,
    MANNERS,
    NEAR,
    NEVER,
    QUIET,
    RAISING,
    Block,
    Body,
    Stage,
    let_pass,
    no_residue,
    played_with,
)

import within
from within.testing import run

ORDERS = ["ours around theirs", "ours in theirs"]
# Seconds until their deadline, and until ours.
TIMINGS = {
    "theirs first": (NEAR, NEVER),
    "ours first": (NEVER, NEAR),
    "theirs an instant before": (NEAR, NEAR + INSTANT),
    "ours an instant before": (NEAR + INSTANT, NEAR),
    "both at once": (NEAR, NEAR),
}
WAYS = [*product(ORDERS, TIMINGS, MANNERS)]


async def play(
    name: str,
    way: tuple[str, ...],
    in_turn: bool = True,
    bridge: Callable[[Body], Body] = lambda body: body,
) -> None:
    """Nest two blocks, and check which of them ends.

    Args:
        name: The neighbour's block.
        way: The order, the timing and the manner.
        in_turn: Whether the loop may notice the two deadlines in different passes.
        bridge: Leads from the loop of the outer block to that of the inner one.
    """
    order, timing, manner = way
    theirs, ours = TIMINGS[timing]
    due = [delay for delay in (theirs, ours) if delay != NEVER]
    limit = within.Timeout(ours, quiet=manner == "quiet")
    outer, inner = Block(manner, ours=limit), Block(name, theirs)
    if order == "ours in theirs":
        outer, inner = inner, outer
    inner_ended = False

    async def in_both() -> None:
        let_pass(max(due))
        await anyio.sleep(NEVER)

    async def beyond_the_bridge() -> None:
        nonlocal inner_ended
        async with no_residue():
            inner_ended = await inner.ends(in_both)
            if len(due) == 2:
                # T3: otherwise the outer block may end without suspending again.
                await anyio.sleep(NEVER)

    async def in_the_outer() -> None:
        async with no_residue():
            await bridge(beyond_the_bridge)()

    async with no_residue():
        outer_ended = await outer.ends(in_the_outer)
    ours_ended = outer_ended if outer.ours else inner_ended
    assert limit.cancelled_caught == ours_ended
    if len(due) == 2:  # T6, T7: the outer block is cancelled by its own limit
        assert outer_ended
        assert in_turn or not inner_ended
        assert limit.expired >= (ours_ended or not in_turn)
    else:
        assert (outer_ended, inner_ended) in [(True, False), (False, True)]
        assert limit.expired == ours_ended == (timing == "ours first")


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@played_with(RAISING + QUIET)
def test_t6_t7_t8_t21_of_two_limits_the_outer_one_wins(
    stage: Stage, name: str, way: tuple[str, ...]
) -> None:
    stage.play(lambda: play(name, way, in_turn=name == LATER))


@played_with(RAISING + QUIET)
def test_t7_t8_t21_another_librarys_limit_between_two_of_ours(
    stage: Stage, name: str
) -> None:
    outer, inner = within.move_on_after(NEVER), within.move_on_after(NEAR)

    async def unwind() -> None:
        try:
            await anyio.sleep(NEVER)
        finally:
            outer.cancel()

    async def scene() -> None:
        async with no_residue(), outer:
            await Block(name).around(lambda: Block("quiet", ours=inner).around(unwind))

    stage.play(scene)
    assert outer.expired
    assert outer.cancelled_caught != inner.cancelled_caught == (name == LATER)


# -- two loops, each of which notices its own deadlines in its own pass --------

ELSEWHERE = ["asyncio.timeout", "asyncio.wait_for", "trio.fail_after"]


def as_guest(body: Body) -> Body:
    """Run ``body`` on trio as the guest of an asyncio task, and cancel both together."""

    async def host() -> None:
        async def guest() -> None:
            token = trio.lowlevel.current_trio_token()
            with trio.CancelScope() as scope:
                started.set_result(lambda: token.run_sync_soon(scope.cancel))
                await body()

        loop = asyncio.get_running_loop()
        started, done = loop.create_future(), loop.create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            (await started)()
            await asyncio.wait([done])
            raise
        finally:
            done.result().unwrap()

    return host


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_t8_t21_with_trio_as_a_guest(loop: str, way: tuple[str, ...]) -> None:
    for name in ELSEWHERE:
        if name.startswith("asyncio") == way[0].startswith("ours in"):
            run(play, name, way, True, as_guest, backend=loop)


async def play_on_trio_asyncio() -> None:
    from trio_asyncio import aio_as_trio, open_loop, trio_as_aio

    async with open_loop():
        for name, way in product(ELSEWHERE, WAYS):
            if name.startswith("asyncio") == way[0].startswith("ours in"):
                await aio_as_trio(play)(name, way, True, trio_as_aio)
            else:
                await play(name, way, True, aio_as_trio)


@pytest.mark.skipif(
    not find_spec("trio_asyncio") or sys.version_info >= (3, 14),
    reason="trio-asyncio is not installed, or does not import here",
)
def test_t8_t21_with_trio_asyncio() -> None:
    # In a process of its own, because the import replaces parts of asyncio for good.
    code = "import test_neighbours as here, trio; trio.run(here.play_on_trio_asyncio)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
