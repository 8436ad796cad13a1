"""T19, T20, T21: child tasks, many loops in many threads, and asyncio's own blocks."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import Any

import anyio
import pytest
from conftest import SECOND_LOOP, Ticks
from timeout_runs import (
    ASYNCIO_LOOPS,
    NEVER,
    SHORT,
    Run,
    real_and_virtual_time,
    this_task,
)

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t19_child_tasks_are_cancelled_with_the_block(ticks: Ticks) -> None:
    ended = []

    async def child(number: int) -> None:
        try:
            await anyio.sleep(ticks.never)
        finally:
            ended.append(number)

    with within.move_on_after(ticks.short) as limit:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(child, number)
    assert sorted(ended) == [0, 1, 2]
    assert limit.cancelled_caught


@pytest.mark.parametrize("loops", [4])
def test_t20_many_loops_in_many_threads_at_once_and_in_turn(loops: int) -> None:
    failures: list[BaseException] = []

    def work(kind: str) -> None:
        async def main() -> None:
            async def child() -> None:
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
                assert inner.cancelled_caught

            with within.timeout(NEVER):
                await asyncio.gather(*[child() for _ in range(20)])

        try:
            for _ in range(3):
                with asyncio.Runner(loop_factory=ASYNCIO_LOOPS[kind]) as runner:
                    runner.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(kind,))
        for kind in ("asyncio", SECOND_LOOP)
        for _ in range(loops // 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("kind", ASYNCIO_LOOPS)
def test_t20_a_closed_loop_is_not_kept_alive(kind: str) -> None:
    async def main() -> tuple[weakref.ref[Any], within.Timeout]:
        with within.timeout(NEVER) as limit:
            await asyncio.sleep(0)
        return weakref.ref(asyncio.get_running_loop()), limit

    with asyncio.Runner(loop_factory=ASYNCIO_LOOPS[kind]) as runner:
        loop, limit = runner.run(main())
    del runner
    gc.collect()
    assert loop() is None
    assert limit.expired is False


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_t21_eager_tasks(run_asyncio: Run) -> None:
    async def main() -> None:
        def eager(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
            # Not asyncio.eager_task_factory: in 3.13.0 it fails on uvloop.
            return asyncio.Task(coro, loop=loop, **(options | {"eager_start": True}))

        asyncio.get_running_loop().set_task_factory(eager)
        cancelled = within.move_on_after(NEVER)

        async def child() -> str:
            assert within.current_effective_deadline() == cancelled.deadline
            with within.timeout(NEVER):
                # The parent task is below us on the stack, and not suspended.
                cancelled.cancel()
            return "done"

        with cancelled:
            assert await asyncio.create_task(child()) == "done"
        assert not cancelled.cancelled_caught
        assert not this_task()._must_cancel  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        with within.move_on_after(SHORT) as limit:
            await asyncio.create_task(asyncio.sleep(NEVER))
        assert limit.cancelled_caught

    run_asyncio(main())


def test_t21_asyncio_timeout_inside_and_around_a_block(run_asyncio: Run) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            with within.timeout(SHORT):
                async with asyncio.timeout(NEVER):
                    await asyncio.sleep(NEVER)
        with within.timeout(NEVER) as limit:
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(SHORT):
                    await asyncio.sleep(NEVER)
            assert not isinstance(raised.value, within.DeadlineExceeded)
        with within.timeout(NEVER) as limit:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(NEVER), SHORT)
        assert not limit.expired
        with within.move_on_after(SHORT) as limit:
            await asyncio.wait_for(asyncio.sleep(NEVER), NEVER)
        assert limit.cancelled_caught
        assert this_task().cancelling() == 0

    run_asyncio(main())


def test_t21_task_groups_inside_and_around_a_block(run_asyncio: Run) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT) as limit:
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(NEVER))
        assert limit.cancelled_caught
        assert child.cancelled()
        async with asyncio.TaskGroup() as group:
            with within.move_on_after(SHORT) as limit:
                group.create_task(asyncio.sleep(0))
                await asyncio.sleep(NEVER)
        assert limit.cancelled_caught

    run_asyncio(main())
