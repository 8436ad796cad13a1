"""T4: an await that completed before the deadline was noticed keeps its result."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t4_a_result_that_arrives_in_the_pass_of_the_deadline_is_kept(
    ticks: Ticks,
) -> None:
    sender, receiver = anyio.create_memory_object_stream[int](1)
    got = []

    async def receive(limit: within.Timeout) -> None:
        with limit:
            got.append(await receiver.receive())
            await anyio.sleep(ticks.long)

    limit = within.move_on_after(ticks.never)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, limit)
        await anyio.wait_all_tasks_blocked()
        sender.send_nowait(1)
        limit.cancel()
    assert got == [1]
    assert limit.cancelled_caught
    sender.close()
    receiver.close()


@pytest.mark.parametrize("completed", ["before", "in the same pass"])
def test_t4_a_completed_await_keeps_its_result(
    run_asyncio: Run, completed: str
) -> None:
    async def main() -> None:
        for _ in range(50):
            result = asyncio.get_running_loop().create_future()
            got = []

            async def victim(
                limit: within.Timeout,
                result: asyncio.Future[int] = result,
                got: list[int] = got,
            ) -> None:
                with limit:
                    got.append(await result)
                    await asyncio.sleep(NEVER)

            limit = within.move_on_after(NEVER)
            child = asyncio.create_task(victim(limit))
            await asyncio.sleep(0)
            if completed == "before":
                result.set_result(1)
                limit.cancel()
            else:
                limit.reschedule(within.current_time() + SHORT)
                asyncio.get_running_loop().call_at(
                    limit.deadline or 0, result.set_result, 1
                )
            await child
            assert limit.cancelled_caught
            if completed == "before":
                assert got == [1]

    run_asyncio(main())


def test_t4_a_busy_partner_task_does_not_starve_the_cancellation(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        passes = 0
        pending: list[asyncio.Future[None]] = []

        async def partner() -> None:
            nonlocal passes
            while not victim.done():
                if pending:
                    pending.pop().set_result(None)
                passes += 1
                await asyncio.sleep(0)

        async def busy() -> None:
            with limit:
                while True:
                    pending.append(asyncio.get_running_loop().create_future())
                    await pending[-1]

        limit = within.move_on_after(NEVER)
        victim = asyncio.create_task(busy())
        other = asyncio.create_task(partner())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = passes
        limit.cancel()
        await victim
        await other
        assert limit.cancelled_caught
        assert passes - before < 20

    run_asyncio(main())


def test_t4_a_waiter_that_another_deadline_of_ours_cancelled_has_not_completed(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        shared = asyncio.get_running_loop().create_future()

        async def victim(limit: within.Timeout) -> None:
            with limit:
                await shared

        limits = [within.move_on_after(None) for _ in range(3)]
        victims = asyncio.gather(*map(victim, limits))
        await asyncio.sleep(0)  # now all of them wait
        deadline = within.current_time() + SHORT
        for limit in limits:
            limit.reschedule(deadline)
        await victims
        assert all(limit.cancelled_caught for limit in limits)

    run_asyncio(main())


def test_t4_the_result_of_an_awaited_task_is_kept_too(run_asyncio: Run) -> None:
    async def main() -> None:
        async def child() -> str:
            return await result

        result = asyncio.get_running_loop().create_future()
        got = []

        async def victim(limit: within.Timeout) -> None:
            with limit:
                got.append(await asyncio.create_task(child()))
                await asyncio.sleep(NEVER)

        limit = within.move_on_after(NEVER)
        running = asyncio.create_task(victim(limit))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        result.set_result("data")
        limit.cancel()
        await running
        assert got == ["data"]
        assert limit.cancelled_caught

    run_asyncio(main())


def test_t4_a_waiter_that_other_code_cancelled_has_completed(run_asyncio: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        reached = []

        async def victim(limit: within.Timeout) -> None:
            with limit:
                try:
                    await future
                except asyncio.CancelledError:
                    reached.append("the future was cancelled")
                await asyncio.sleep(NEVER)

        limit = within.move_on_after(NEVER)
        running = asyncio.create_task(victim(limit))
        await asyncio.sleep(0)
        future.cancel()
        limit.cancel()
        await running
        assert reached == ["the future was cancelled"]
        assert limit.cancelled_caught

    run_asyncio(main())
