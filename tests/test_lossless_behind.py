"""T4: a result that is on its way behind other tasks, futures and groups is kept."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import within
from within.testing import run

LIMIT = 1.0
NEVER = 3600.0

Work = Callable[["asyncio.Future[int]"], Awaitable[Any]]


def virtually(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run(main, virtual_time=True)


# -- T4: behind others ---------------------------------------------------------


async def value(future: asyncio.Future[int]) -> int:
    return await future


async def deep(future: asyncio.Future[int], depth: int) -> int:
    if not depth:
        return await future
    return await asyncio.create_task(deep(future, depth - 1))


async def in_group(future: asyncio.Future[int]) -> int:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(value(future))
    return task.result()


async def with_wait(future: asyncio.Future[int], **options: Any) -> int:
    task = asyncio.ensure_future(value(future))
    done, _ = await asyncio.wait([task], **options)
    return done.pop().result()


async def first_of_two(future: asyncio.Future[int]) -> int:
    never = asyncio.ensure_future(asyncio.sleep(NEVER))
    tasks = [asyncio.ensure_future(value(future)), never]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    never.cancel()
    return done.pop().result()


async def gathered(future: asyncio.Future[int]) -> int:
    return (await asyncio.gather(value(future), future))[0]


async def shielded(future: asyncio.Future[int]) -> int:
    return await asyncio.shield(value(future))


BEHIND: dict[str, Work] = {
    "the future": value,
    "a task": lambda future: asyncio.create_task(value(future)),
    "a chain of seven tasks": lambda future: deep(future, 7),
    "gather": gathered,
    "gather in gather": lambda future: asyncio.gather(gathered(future)),
    "shield": shielded,
    "wait": with_wait,
    "wait for the first": first_of_two,
    "wait for an exception": lambda future: with_wait(
        future, return_when=asyncio.FIRST_EXCEPTION
    ),
    "wait_for": lambda future: asyncio.wait_for(value(future), NEVER),
    "a TaskGroup": in_group,
}


@pytest.mark.parametrize("behind", BEHIND)
def test_t4_a_result_that_is_on_its_way_is_kept(behind: str) -> None:
    """It is set in the pass in which the deadline is noticed."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        results: list[Any] = []
        # Asked for before the alarm's timer, so it runs first in that pass.
        loop.call_at(loop.time() + LIMIT, future.set_result, 1)
        with within.move_on_after(LIMIT) as limit:
            results.append(await BEHIND[behind](future))
            await asyncio.sleep(NEVER)
        assert results in ([1], [[1]])
        assert limit.cancelled_caught
        assert loop.time() == LIMIT

    virtually(main)


@pytest.mark.parametrize("behind", BEHIND)
def test_t2_what_does_not_complete_is_cancelled_at_the_deadline(behind: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        with within.move_on_after(LIMIT) as limit:
            await BEHIND[behind](future)
        assert limit.cancelled_caught
        assert loop.time() == LIMIT
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        future.cancel()
        for other in asyncio.all_tasks() - {task}:  # behind a shield, or a wait
            other.cancel()
        await asyncio.sleep(0)

    virtually(main)


# -- T4: one awaited by several ------------------------------------------------


def waits_directly(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    return shared


def waits_with_wait_for(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    return asyncio.wait_for(shared, NEVER)


def waits_through_a_task(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    async def inner() -> None:
        await shared

    return asyncio.create_task(inner())


def waits_in_a_shield(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    return asyncio.shield(shared)


def waits_in_gather(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    return asyncio.gather(shared, asyncio.create_task(asyncio.sleep(NEVER)))


def waits_with_wait(shared: asyncio.Task[Any]) -> Awaitable[Any]:
    return asyncio.wait([shared])


WAYS = [
    waits_directly,
    waits_with_wait_for,
    waits_through_a_task,
    waits_in_a_shield,
    waits_in_gather,
    waits_with_wait,
]


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_t4_each_caller_of_a_shared_task_gets_its_own_error(
    first: Any, second: Any, quiet: bool
) -> None:
    async def caller(way: Any, shared: Any, limit: within.Timeout) -> None:
        with limit:
            await way(shared)

    async def main() -> None:
        shared = asyncio.create_task(asyncio.sleep(NEVER))
        limits = [
            within.Timeout(deadline=LIMIT, quiet=quiet, name=name) for name in "abc"
        ]
        tasks = [
            asyncio.create_task(caller(way, shared, limit))
            for way, limit in zip((first, second, first), limits, strict=True)
        ]
        for task, limit in zip(tasks, limits, strict=True):
            try:
                await task
            except within.DeadlineExceeded as error:
                assert error.scope is limit
            assert limit.cancelled_caught
            assert not task.cancelled()
        shared.cancel()

    virtually(main)


@pytest.mark.parametrize("passes", range(3))
@pytest.mark.parametrize("tasks", range(3))
@pytest.mark.parametrize("first", [waits_directly, waits_in_gather])
def test_t4_gather_raises_our_cancellation_of_a_shared_task_to_a_late_waiter(
    first: Any, tasks: int, passes: int
) -> None:
    """gather() raises the cancellation of its child, and is not cancelled itself. Its
    waiter gets a cancellation without our message, which the first waiter has got.
    """

    async def in_tasks(shared: asyncio.Task[Any], tasks: int) -> None:
        if tasks:
            await asyncio.create_task(in_tasks(shared, tasks - 1))
        else:
            await waits_in_gather(shared)

    async def caller(
        limit: within.Timeout, waits: Callable[[], Awaitable[Any]]
    ) -> None:
        with limit:
            await waits()

    async def main() -> None:
        shared = asyncio.create_task(asyncio.sleep(NEVER))
        early, late = within.Timeout(quiet=True), within.Timeout(quiet=True)
        callers = [
            asyncio.create_task(caller(early, lambda: first(shared))),
            asyncio.create_task(caller(late, lambda: in_tasks(shared, tasks))),
        ]
        await asyncio.sleep(LIMIT)
        early.cancel()
        for _ in range(passes):
            await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(*callers)
        assert early.cancelled_caught
        assert late.cancelled_caught

    virtually(main)


@pytest.mark.parametrize("when", ["ALL_COMPLETED", "FIRST_COMPLETED"])
def test_t4_wait_completes_although_a_deadline_has_cancelled_its_task(
    when: str,
) -> None:
    """wait() does not raise what its tasks end with, so it has a result in any case."""

    async def main() -> None:
        done: set[Any] = set()
        task = asyncio.create_task(asyncio.sleep(NEVER))
        with within.move_on_after(LIMIT):
            await task
        with within.move_on_after(0) as limit:
            done, _ = await asyncio.wait([task], return_when=when)
            await asyncio.sleep(NEVER)
        assert done == {task}
        assert task.cancelled()
        assert limit.cancelled_caught

    virtually(main)


def test_t4_one_waits_for_a_task_and_another_for_its_future() -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(value(future))

        async def caller(what: Awaitable[int]) -> bool:
            with within.move_on_at(LIMIT) as limit:
                await what
            return limit.cancelled_caught

        assert await asyncio.gather(caller(task), caller(future)) == [True, True]

    virtually(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_t4_the_result_of_an_eager_task_is_kept() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        future: asyncio.Future[int] = loop.create_future()
        loop.call_at(loop.time() + LIMIT, future.set_result, 1)
        with within.move_on_after(LIMIT) as limit:
            assert await asyncio.create_task(value(future)) == 1
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught

    virtually(main)
