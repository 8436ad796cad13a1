"""When a deadline fires: never early, promptly, and not after the block has ended."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvloop
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time

RAISING: list[Any] = [
    lambda seconds, **more: within.timeout(seconds, **more),
    lambda seconds, **more: within.timeout_at(within.current_time() + seconds, **more),
    lambda seconds, **more: within.Timeout(seconds, **more),
    lambda seconds, **more: within.Timeout(
        deadline=within.current_time() + seconds, **more
    ),
]
QUIET: list[Any] = [
    lambda seconds, **more: within.move_on_after(seconds, **more),
    lambda seconds, **more: within.move_on_at(within.current_time() + seconds, **more),
    lambda seconds, **more: within.Timeout(seconds, quiet=True, **more),
    lambda seconds, **more: within.shield(seconds),
]


@pytest.mark.parametrize("way", RAISING)
async def test_t1_t2_a_block_raises_at_its_deadline(way: Any, ticks: Ticks) -> None:
    began = within.current_time()
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with way(ticks.short) as limit:
            await anyio.sleep(ticks.long)
    assert raised.value.scope is limit
    assert (limit.expired, limit.cancelled_caught) == (True, True)
    assert limit.deadline is not None
    assert within.current_time() >= limit.deadline
    if ticks.virtual:
        assert within.current_time() == began + ticks.short


@pytest.mark.parametrize("way", QUIET)
async def test_t1_t2_a_quiet_block_ends_quietly_at_its_deadline(
    way: Any, ticks: Ticks
) -> None:
    with way(ticks.short) as limit:
        await anyio.sleep(ticks.long)
    assert (limit.expired, limit.cancelled_caught) == (True, True)
    assert limit.deadline is not None
    assert within.current_time() >= limit.deadline


async def test_t1_the_clock_is_the_running_loops_own(on_asyncio: bool) -> None:
    if on_asyncio:
        ours, theirs = within.current_time(), asyncio.get_running_loop().time()
    else:
        import trio

        ours, theirs = within.current_time(), trio.current_time()
    assert abs(ours - theirs) < 10  # other clocks differ by more


def test_t1_a_deadline_on_uvloop_is_never_early() -> None:
    """uvloop counts timers in milliseconds, rounded to the nearest one."""

    async def main() -> None:
        for n in range(20):
            with within.move_on_after(0.0005 + n / 7000) as limit:
                await asyncio.sleep(NEVER)
            assert within.current_time() >= (limit.deadline or math.inf)
            assert limit.cancelled_caught

    uvloop.run(main())


def test_t2_a_deadline_that_passes_while_the_loop_is_busy_fires(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT) as limit:
            time.sleep(2 * SHORT)
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught

    run_asyncio(main())


def test_t2_a_block_inside_a_cancelled_block_has_its_own_deadline(
    run_asyncio: Run,
) -> None:
    """A limit on clean-up works although the outer block has cancelled the task."""

    async def main() -> None:
        with within.move_on_after(0) as outer:
            try:
                await asyncio.sleep(NEVER)
            finally:
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
        assert (outer.cancelled_caught, inner.expired) == (True, True)
        with within.move_on_after(0) as outer:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            with within.move_on_after(SHORT) as inner:
                await asyncio.sleep(NEVER)
        assert (outer.cancelled_caught, inner.cancelled_caught) == (False, True)

    run_asyncio(main())


@pytest.mark.parametrize("way", [*RAISING, *QUIET])
async def test_t3_a_block_that_ends_in_time_is_undisturbed(
    way: Any, ticks: Ticks
) -> None:
    with way(ticks.long) as limit:
        await anyio.sleep(ticks.short)
    assert (limit.expired, limit.cancelled_caught) == (False, False)


async def test_t3_a_block_that_ends_late_without_suspending_has_not_timed_out() -> None:
    with within.timeout(0.1) as limit:
        time.sleep(0.11)
    await anyio.lowlevel.checkpoint()
    assert (limit.expired, limit.cancelled_caught) == (False, False)


async def test_asking_expired_after_the_deadline_expires_the_block(
    ticks: Ticks,
) -> None:
    with within.move_on_after(0.001) as limit:
        time.sleep(0.002)
        if not ticks.virtual:
            assert limit.expired
            await anyio.lowlevel.checkpoint()
            pytest.fail("it should have been cancelled")
