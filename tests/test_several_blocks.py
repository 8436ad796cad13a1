"""Several cancellations of one task: which of them is for which block, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import anyio
import pytest
from virtual_limits import LIMIT, NEVER, virtually

import within


def test_t4_t22_ten_blocks_give_a_result_as_much_time_as_one() -> None:
    async def main() -> None:
        result = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_at(LIMIT, result.set_result, "kept")
        got: list[str] = []
        with ExitStack() as blocks:
            for _ in range(10):
                blocks.enter_context(within.move_on_at(LIMIT))
            got.append(await result)
            await asyncio.sleep(NEVER)
        assert got == ["kept"]
        assert within.current_time() == LIMIT

    virtually(main)


def test_t7_a_cancelled_clean_up_block_does_not_keep_that_of_a_level_triggered_one() -> (
    None
):
    async def main() -> None:
        reached: list[str] = []
        with within.Timeout(LIMIT, quiet=True, level=True) as outer:
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError:
                with within.move_on_after(NEVER) as inner:
                    inner.cancel()
                    raise
            reached.append("after the block")
        assert outer.cancelled_caught
        assert not inner.cancelled_caught
        assert reached == []

    virtually(main)


def test_t7_t10_of_two_blocks_due_at_once_the_outer_one_is_named() -> None:
    async def main() -> None:
        with within.move_on_at(LIMIT, name="outer"):
            with within.move_on_at(LIMIT, name="inner"):
                with pytest.raises(asyncio.CancelledError, match="'outer' exceeded"):
                    await asyncio.sleep(NEVER)

    virtually(main)


async def suspend() -> None:
    """Suspend the victim, and go on at its first cancellation."""
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(NEVER)


def test_t6_a_request_of_an_inner_block_hides_no_later_foreign_one() -> None:
    async def victim() -> None:
        with outer, inner:
            await suspend()
            await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT)
        inner.cancel()
        await asyncio.sleep(LIMIT)
        outer.cancel()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    outer, inner = within.move_on_after(NEVER), within.move_on_after(NEVER)
    virtually(main)


def test_t6_a_foreign_cancel_that_another_task_is_about_to_get_wins() -> None:
    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    async def victim() -> None:
        with limit:
            await asyncio.create_task(busy())

    async def main() -> None:
        task = asyncio.create_task(victim())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        limit.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    limit = within.move_on_after(NEVER)
    virtually(main)


def test_t22_what_another_deadline_has_cancelled_is_no_foreign_cancellation() -> None:
    async def victim(shared: asyncio.Future[None]) -> None:
        with within.timeout_at(2 * LIMIT):
            await suspend()
            await shared

    async def partner(shared: asyncio.Future[None]) -> None:
        with within.move_on_at(2 * LIMIT):
            await shared

    async def main() -> None:
        shared = asyncio.get_running_loop().create_future()
        both = partner(shared), victim(shared)
        tasks = [asyncio.create_task(one) for one in both]
        await asyncio.sleep(LIMIT)
        tasks[1].cancel()
        with pytest.raises(within.DeadlineExceeded):
            await tasks[1]
        await tasks[0]

    virtually(main)


def test_t22_a_circular_chain_of_contexts_behind_what_is_handled_ends() -> None:
    async def victim() -> None:
        one, other = ValueError(), KeyError()
        one.__context__, other.__context__ = other, one
        with within.timeout(2 * LIMIT):
            await suspend()
            try:
                raise one
            except ValueError:
                await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT)
        task.cancel()
        with pytest.raises(within.DeadlineExceeded):
            await task

    virtually(main)


def test_t6_a_foreign_cancellation_that_another_task_is_handling_wins() -> None:
    async def clean_up() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            await asyncio.sleep(NEVER)

    async def victim() -> None:
        with limit:
            await asyncio.create_task(clean_up())

    async def main() -> None:
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT)
        task.cancel()
        await asyncio.sleep(LIMIT)
        limit.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    limit = within.move_on_after(NEVER)
    virtually(main)


def test_t10_t16_a_cancellation_names_the_block_that_has_not_been_told() -> None:
    async def main() -> None:
        with within.Timeout(LIMIT, quiet=True, level=True):
            with within.timeout(NEVER, name="inner") as inner:
                await suspend()
                inner.cancel()
                with pytest.raises(asyncio.CancelledError, match="'inner' was ended"):
                    await asyncio.sleep(NEVER)

    virtually(main)


def test_t22_two_ways_to_one_task_are_no_circle() -> None:
    async def wait_for(child: asyncio.Task[None]) -> None:
        await child

    async def main() -> None:
        child = asyncio.create_task(asyncio.sleep(NEVER))
        with within.move_on_after(LIMIT) as limit:
            await asyncio.gather(wait_for(child), wait_for(child))
        assert limit.cancelled_caught
        await asyncio.sleep(0)
        assert child.cancelled()

    virtually(main)


def test_t22_a_future_that_cannot_be_looked_at_does_not_keep_the_limit_off() -> None:
    class Odd(asyncio.Future[None]):
        def done(self) -> bool:
            raise NotImplementedError

    async def main() -> None:
        with within.move_on_after(LIMIT) as limit:
            await Odd()
        assert limit.cancelled_caught
        assert within.current_time() == LIMIT

    virtually(main)


def test_t4_t22_an_error_that_is_on_its_way_through_gather_does_not_hide_the_limit() -> (
    None
):
    async def victim(result: asyncio.Future[None]) -> None:
        with limit:
            with pytest.raises(KeyError):
                await asyncio.gather(result, asyncio.sleep(NEVER))
            await asyncio.sleep(NEVER)

    async def main() -> None:
        result = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(victim(result))
        await asyncio.sleep(LIMIT)
        result.set_exception(KeyError())
        limit.cancel()
        await task
        assert limit.cancelled_caught
        assert within.current_time() == LIMIT

    limit = within.move_on_after(NEVER)
    virtually(main)


def test_t4_a_result_behind_a_task_group_of_anyio_is_kept() -> None:
    async def child(result: asyncio.Future[None]) -> None:
        await result

    async def victim(result: asyncio.Future[None]) -> None:
        with limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child, result)
            got.append("the end of the group")
            await asyncio.sleep(NEVER)

    async def main() -> None:
        result = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(victim(result))
        await asyncio.sleep(LIMIT)
        result.set_result(None)
        limit.cancel()
        await task
        assert limit.cancelled_caught

    got: list[str] = []
    limit = within.move_on_after(NEVER)
    virtually(main)
    assert got == ["the end of the group"]


@pytest.mark.parametrize("is_behind_another", [False, True])
def test_t4_a_task_that_another_deadline_has_cancelled_brings_no_result(
    is_behind_another: bool,
) -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            raise asyncio.CancelledError from None  # no longer ours by its message

    async def wait_for(child: asyncio.Task[None]) -> None:
        await child

    async def victim(child: asyncio.Task[None]) -> None:
        with limit:
            await child

    async def main() -> None:
        shared = asyncio.create_task(child())
        shared.add_done_callback(lambda _: limit.cancel())
        task = asyncio.create_task(victim(shared))
        with within.move_on_after(LIMIT):
            await (wait_for(shared) if not is_behind_another else behind(shared))
        with pytest.raises(within.DeadlineExceeded):
            await task

    async def behind(child: asyncio.Task[None]) -> None:
        await asyncio.create_task(wait_for(child))

    limit = within.timeout(NEVER)
    virtually(main)


@pytest.mark.parametrize("is_first", [False, True])
def test_t6_t16_a_foreign_cancel_in_the_pass_of_a_level_triggered_block_wins(
    is_first: bool,
) -> None:
    async def victim() -> None:
        with limit:
            await suspend()
            await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT)
        both: list[Callable[[], object]] = [task.cancel, limit.cancel]
        for cancel in both if is_first else reversed(both):
            cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    limit = within.Timeout(NEVER, level=True)
    virtually(main)


def test_t6_a_foreign_cancel_after_an_uncancel_wins() -> None:
    async def victim() -> None:
        await suspend()
        with limit:
            task.uncancel()
            await asyncio.sleep(NEVER)

    async def main() -> None:
        nonlocal task
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT)
        task.cancel()
        await asyncio.sleep(LIMIT)
        limit.cancel()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    task: asyncio.Task[None]
    limit = within.move_on_after(NEVER)
    virtually(main)
