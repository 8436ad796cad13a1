"""T17: ``current_effective_deadline()`` is the nearest deadline in force."""

from __future__ import annotations

import asyncio
import contextvars
import math

import anyio
import pytest
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t17_the_nearest_deadline_counts(ticks: Ticks) -> None:
    now = within.current_time()
    assert within.current_effective_deadline() == math.inf
    with within.timeout_at(now + 100):
        assert within.current_effective_deadline() == now + 100
        with within.timeout_at(now + 50):
            assert within.current_effective_deadline() == now + 50
            with within.timeout_at(now + 70):
                assert within.current_effective_deadline() == now + 50
                with within.shield():
                    assert within.current_effective_deadline() == math.inf
                    with within.timeout_at(now + 90):
                        assert within.current_effective_deadline() == now + 90
        assert within.current_effective_deadline() == now + 100
    assert within.current_effective_deadline() == math.inf


async def test_t17_it_is_minus_infinity_once_cancelled(ticks: Ticks) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.cancel()
        assert within.current_effective_deadline() == -math.inf
        with within.shield():
            assert within.current_effective_deadline() == math.inf


async def test_t17_anyio_scopes_count(ticks: Ticks) -> None:
    deadline = within.current_time() + ticks.long
    with anyio.CancelScope(deadline=deadline), within.timeout(ticks.never):
        assert within.current_effective_deadline() == deadline


async def test_t17_a_task_inherits_the_deadline_it_was_started_under(
    ticks: Ticks,
) -> None:
    seen: list[float] = []

    async def look() -> None:
        seen.append(within.current_effective_deadline())

    deadline = within.current_time() + ticks.long
    with within.timeout_at(deadline):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    assert seen == [deadline]


async def test_t17_anyio_shields_cut_off_child_tasks_too(ticks: Ticks) -> None:
    seen: list[float] = []

    async def look() -> None:
        seen.append(within.current_effective_deadline())

    with within.timeout(ticks.long), anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    with anyio.CancelScope(shield=True), within.timeout(ticks.long) as limit:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    assert seen == [math.inf, limit.deadline]


def test_t17_two_tasks_may_share_one_context(run_asyncio: Run) -> None:
    async def main() -> None:
        context = contextvars.copy_context()

        async def child(delay: float) -> None:
            with within.timeout(delay) as outer:
                await asyncio.sleep(0)
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
                assert inner.cancelled_caught
                assert within.current_effective_deadline() == outer.deadline

        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *[loop.create_task(child(NEVER + n), context=context) for n in range(3)]
        )

    run_asyncio(main())


def test_t17_a_deadline_is_inherited_only_while_its_block_is_open(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        seen: list[float] = []

        async def look() -> None:
            for _ in range(2):
                seen.append(within.current_effective_deadline())
                with within.timeout(None):
                    await asyncio.sleep(0)

        with within.timeout_at(NEVER * 10):
            with within.timeout_at(NEVER):
                child = asyncio.create_task(look())
                await asyncio.sleep(0)
            await child
        assert seen == [NEVER, NEVER * 10]

    run_asyncio(main())


def test_t17_a_chain_of_tasks_does_not_make_a_chain_of_blocks(run_asyncio: Run) -> None:
    """Each task is started in a block of the one before, which is then left."""

    async def main() -> None:
        async def link(left: int) -> None:
            with within.timeout(NEVER):
                following = asyncio.create_task(link(left - 1)) if left else None
                await asyncio.sleep(0)
            if following is not None:
                tasks.append(following)

        tasks: list[asyncio.Task[None]] = [asyncio.create_task(link(20))]
        while tasks:
            await tasks.pop()
        with within.timeout(NEVER) as limit:
            assert limit.parent is None

    run_asyncio(main())
