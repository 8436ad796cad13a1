"""T16: in a level-triggered block, every await after the deadline is cancelled."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest
from conftest import Ticks
from timeout_runs import NEVER, Run, real_and_virtual_time, run_virtually, this_task

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t16_a_block_whose_body_swallows_cancellations_still_ends(
    ticks: Ticks,
) -> None:
    swallowed = 0
    with within.move_on_after(ticks.short, level=True) as limit:
        for _ in range(3):
            try:
                await anyio.sleep(ticks.long)
            except anyio.get_cancelled_exc_class():
                swallowed += 1
        await anyio.sleep(ticks.long)
    assert swallowed == 3
    assert limit.cancelled_caught


async def test_t16_by_default_asyncio_cancels_once_and_trio_always(
    ticks: Ticks, on_asyncio: bool
) -> None:
    reached = []
    with within.move_on_after(0) as limit:
        try:
            await anyio.sleep(ticks.long)
        finally:
            await anyio.sleep(ticks.short)
            reached.append("cleaned up")
    assert reached == (["cleaned up"] if on_asyncio else [])
    assert limit.cancelled_caught


@pytest.mark.parametrize("after_the_deadline", [0, 1, 2])
def test_t22_a_level_triggered_block_outlasts_a_foreign_cancel_that_was_swallowed(
    run_asyncio: Run, after_the_deadline: int
) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            with within.timeout(0, level=True):
                for strike in range(4):
                    if strike > 0 and strike == after_the_deadline:
                        this_task().cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(NEVER)
                await asyncio.sleep(NEVER)
        assert this_task().cancelling() == (after_the_deadline > 0)

    run_asyncio(main())


def test_t22_a_foreign_cancel_that_a_shield_lets_through_and_the_body_swallows_is_over(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            with within.timeout(0, level=True):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(NEVER)
                with within.shield():
                    asyncio.get_running_loop().call_soon(this_task().cancel)
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(NEVER)
                await asyncio.sleep(NEVER)
        assert this_task().cancelling() == 1

    run_asyncio(main())


def test_t6_a_foreign_cancel_that_comes_with_a_repeated_strike_wins(
    run_asyncio: Run,
) -> None:
    """The message that the body gets is ours, and its clean-up is cancelled again."""

    async def victim() -> None:
        with within.timeout(None, level=True) as limit:
            limit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            # Ours is repeated in the next pass, before this callback runs.
            asyncio.get_running_loop().call_soon(cancel_after_ours)
            try:
                await asyncio.sleep(NEVER)
            finally:
                await asyncio.sleep(NEVER)

    def cancel_after_ours() -> None:
        task.cancel()

    async def main() -> None:
        nonlocal task
        task = asyncio.create_task(victim())
        await asyncio.wait([task])
        assert task.cancelled()

    task: asyncio.Task[None]
    run_asyncio(main())


def test_t16_a_waiter_that_refuses_to_be_cancelled_costs_no_cpu() -> None:
    async def main() -> None:
        async def stubborn() -> None:
            until = within.current_time() + 1000
            while (left := until - within.current_time()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    cancelled.append(within.current_time())

        cancelled: list[float] = []
        child = asyncio.create_task(stubborn())
        with within.move_on_after(1, level=True) as limit:
            await child
            reached.append("the await was over")
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        assert 5 < len(cancelled) < 50

    reached: list[str] = []
    assert run_virtually(main()) < 500
    assert reached == ["the await was over"]


def test_t16_the_task_is_cancelled_as_soon_as_a_refusing_waiter_is_done(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        async def stubborn() -> None:
            nonlocal cancelled
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    cancelled += 1
                    if cancelled == 4:
                        released.set()

        cancelled = 0
        released = asyncio.Event()
        child = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        with within.move_on_after(0, level=True):
            await child
            await asyncio.sleep(NEVER)
        assert cancelled == 4
        assert this_task().cancelling() == 0

    run_asyncio(main())


def test_t2_a_waiter_that_refuses_does_not_delay_an_outer_block() -> None:
    """The outer one expires just after a cancellation of the inner one, at a time when
    the pauses between those have become long.
    """

    async def main() -> None:
        async def stubborn() -> None:
            for _ in range(10):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(NEVER)
            ended.append(within.current_time())
            outer.cancel()
            await asyncio.sleep(NEVER)

        ended: list[float] = []
        outer = within.move_on_after(None)
        child = asyncio.create_task(stubborn())
        with outer, within.move_on_after(1, level=True):
            await child
        assert outer.cancelled_caught
        assert ended == [within.current_time()]

    run_virtually(main())


def test_t16_a_task_that_waits_again_each_time_costs_no_cpu() -> None:
    """asyncio.Condition retries in a loop until it has its lock back."""

    async def main() -> None:
        async def hog() -> None:
            await asyncio.sleep(1)
            async with condition:
                await asyncio.sleep(1000)

        condition = asyncio.Condition()
        child = asyncio.create_task(hog())
        with within.move_on_after(2, level=True) as limit:
            async with condition:
                await condition.wait()
        assert limit.cancelled_caught
        assert within.current_time() < 1010
        await child

    # In 1000 seconds. A thread of another test costs a pass more for each.
    assert run_virtually(main()) < 5000


def test_t16_clean_up_that_lets_itself_be_cancelled_is_not_delayed() -> None:
    """Each callback of the stack is one more suspension to cancel."""

    async def main() -> None:
        with within.move_on_after(1, level=True):
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(60):
                    stack.push_async_callback(asyncio.sleep, 30)
                await asyncio.sleep(NEVER)
        assert within.current_time() == 1

    run_virtually(main())


def test_t16_backing_off_in_one_block_does_not_delay_the_next_one() -> None:
    async def main() -> None:
        with within.move_on_after(1) as outer:
            with anyio.CancelScope(shield=True):
                with within.move_on_after(1, level=True):
                    for _ in range(125):
                        with contextlib.suppress(asyncio.CancelledError):
                            await asyncio.sleep(1)
            left = within.current_time()
            await asyncio.sleep(NEVER)
        assert outer.cancelled_caught
        assert within.current_time() == left

    run_virtually(main())
