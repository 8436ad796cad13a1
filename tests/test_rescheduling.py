"""T11, T12: moving the deadline of a block, and ending a block with ``cancel()``."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks
from timeout_runs import NEVER, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_t11_a_block_can_be_moved_after_another_block_has_expired(loop: str) -> None:
    async def main() -> None:
        with within.timeout(10) as limit:
            with within.move_on_after(1):
                await anyio.sleep(5)
            limit.reschedule(100)
            with within.move_on_after(1):
                await anyio.sleep(5)
            await anyio.sleep(97)
            assert not limit.expired

    within.testing.run(main, backend=loop, virtual_time=True)


async def test_t11_a_deadline_moves_later_to_none_and_earlier(ticks: Ticks) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.reschedule(within.current_time() + 2 * ticks.long)
        await ticks.pass_by()
        limit.deadline = None
        assert (limit.deadline, limit.remaining()) == (None, math.inf)
        await ticks.pass_by()
        limit.deadline = within.current_time() + ticks.short
        await anyio.sleep(ticks.long)
    assert limit.cancelled_caught


async def test_t11_another_task_can_move_the_deadline(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)

    async def hurry() -> None:
        limit.reschedule(within.current_time() + ticks.short)

    async with anyio.create_task_group() as tasks:
        with limit:
            tasks.start_soon(hurry)
            await anyio.sleep(ticks.long)
    assert limit.cancelled_caught


async def test_t11_before_entry_a_new_deadline_replaces_the_delay(
    ticks: Ticks,
) -> None:
    limit = within.move_on_after(0)
    limit.reschedule(within.current_time() + ticks.long)
    with limit:
        await anyio.sleep(ticks.short)
    assert not limit.expired


async def test_t11_after_expiry_or_exit_it_is_a_runtime_error(ticks: Ticks) -> None:
    with within.move_on_after(0) as limit:
        with pytest.raises(RuntimeError, match="already expired"):
            limit.reschedule(None)
    with pytest.raises(RuntimeError, match="has been left"):
        limit.deadline = None
    with within.timeout(ticks.long) as limit:
        pass
    with pytest.raises(RuntimeError, match="has been left"):
        limit.reschedule(None)
    limit = within.timeout(ticks.long)
    limit.cancel()
    with pytest.raises(RuntimeError, match="already expired"):
        limit.reschedule(None)


def by_pickle(limit: within.Timeout) -> within.Timeout:
    found: within.Timeout = pickle.loads(pickle.dumps(limit))
    return found


@pytest.mark.parametrize("copied_by", [by_pickle, copy.copy, copy.deepcopy])
async def test_t11_the_deadline_of_a_copied_block_cannot_be_moved(
    copied_by: Callable[[within.Timeout], within.Timeout],
) -> None:
    """A copy is a record of the block, whatever the block goes on to do."""
    copied = copied_by(within.timeout(5, name="request"))
    assert repr(copied) == "<Timeout 'request' exited>"
    for move in (copied.restart, lambda: copied.reschedule(None)):
        with pytest.raises(RuntimeError, match="has been left"):
            move()
    assert (copied.deadline, copied.delay) == (None, 5)


async def test_t11_a_deadline_moved_to_the_past_fires_at_the_next_suspension(
    ticks: Ticks,
) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.reschedule(-1)
        await anyio.lowlevel.checkpoint()
        pytest.fail("it should have been cancelled")
    assert limit.cancelled_caught


def test_t11_t13_from_another_thread_the_error_says_what_to_do(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        with within.timeout(NEVER) as limit:
            for change in (limit.cancel, lambda: limit.reschedule(None)):
                with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
                    await asyncio.to_thread(change)
            assert await asyncio.to_thread(lambda: limit.expired) is False

    run_asyncio(main())


async def test_t12_cancel_takes_effect_at_the_next_suspension(ticks: Ticks) -> None:
    reached = []
    with within.move_on_after(ticks.never) as limit:
        limit.cancel()
        reached.append(limit.expired)
        await anyio.lowlevel.checkpoint()
        reached.append("after the suspension")
    assert reached == [True]
    limit.cancel()  # does nothing after the exit


async def test_t12_cancel_before_entry_counts_from_entry(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)
    limit.cancel()
    await anyio.lowlevel.checkpoint()
    with limit:
        await anyio.lowlevel.checkpoint()
        pytest.fail("it should have been cancelled")
    assert limit.cancelled_caught


async def test_t12_another_task_can_cancel_the_block(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)

    async def call(function: Callable[[], None]) -> None:
        function()

    async with anyio.create_task_group() as tasks:
        with limit:
            tasks.start_soon(anyio.lowlevel.checkpoint)
            tasks.start_soon(call, limit.cancel)
            await anyio.sleep(ticks.long)
    assert limit.cancelled_caught
