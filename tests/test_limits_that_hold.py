"""T4, T22: what a task waits for may stand behind other tasks, futures and groups."""

from __future__ import annotations

import asyncio
import sys
import time
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


WAYS = [waits_directly, waits_with_wait_for, waits_through_a_task, waits_in_a_shield]


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


# -- T22 -------------------------------------------------------------------------


async def fails() -> None:
    raise ConnectionError


@pytest.mark.parametrize("passes", range(4))
@pytest.mark.parametrize("is_in_body", [False, True])
def test_t22_an_aborting_group_does_not_swallow_the_limit(
    passes: int, is_in_body: bool
) -> None:
    """Before 3.13 such a group drops a cancellation that comes meanwhile."""

    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def completes_it() -> None:
            await asyncio.sleep(LIMIT)
            for _ in range(passes):
                await asyncio.sleep(0)
            future.set_result(1)

        helper = asyncio.create_task(completes_it())
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                await asyncio.shield(future)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fails())
                        if is_in_body:
                            await asyncio.sleep(NEVER)
                except* ConnectionError:
                    pass
                await asyncio.sleep(NEVER)
        assert within.current_time() == LIMIT
        await helper

    virtually(main)


def test_t22_a_retry_loop_around_a_group_ends_with_the_error_of_the_block() -> None:
    """Before 3.13 such a group leaves `Task.cancelling()` raised."""

    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                while True:
                    try:
                        async with asyncio.TaskGroup() as group:
                            group.create_task(fails())
                    except* ConnectionError:
                        await asyncio.sleep(LIMIT / 4)

    virtually(main)


def test_t22_a_cancellation_that_was_swallowed_does_not_hide_the_limit() -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                asyncio.get_running_loop().call_soon(task.cancel)
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError:
                    pass
                await asyncio.sleep(NEVER)

    virtually(main)


def test_t6_a_limit_that_passes_in_the_clean_up_of_a_cancellation_lets_it_pass() -> (
    None
):
    async def worker() -> None:
        async with within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(LIMIT / 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert within.current_time() == LIMIT

    virtually(main)


@pytest.mark.parametrize("length", [2, 3])
def test_t22_tasks_that_wait_for_one_another_in_a_circle_end(length: int) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[bool]] = []

        async def waits(number: int) -> bool:
            await asyncio.sleep(0)
            with within.move_on_after(LIMIT if number == 0 else None) as limit:
                await tasks[(number + 1) % length]
            return limit.cancelled_caught

        tasks += [asyncio.create_task(waits(number)) for number in range(length)]
        assert await tasks[0]
        for task in tasks:
            await task

    virtually(main)


def test_t22_a_circle_that_the_task_is_not_in() -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def waits(number: int) -> None:
            await asyncio.sleep(0)
            with within.move_on_after(2 * LIMIT):
                await tasks[1 - number]

        tasks += [asyncio.create_task(waits(number)) for number in range(2)]
        await asyncio.sleep(0)
        with within.move_on_after(LIMIT) as limit:
            await tasks[0]
        assert limit.cancelled_caught
        await asyncio.wait(tasks)
        assert within.current_time() == 2 * LIMIT

    virtually(main)


def test_t22_a_waiter_that_refuses_to_be_cancelled_does_not_keep_the_limit_off() -> (
    None
):
    class Refusing(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            raise ValueError("no")

    async def main() -> None:
        told: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        with within.move_on_after(LIMIT) as limit:
            await Refusing()
        assert limit.cancelled_caught
        assert [type(error) for error in told] == [ValueError]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    virtually(main)


def test_t22_a_waiter_whose_cancel_ends_another_block() -> None:
    async def main() -> None:
        outer = within.move_on_after(None)
        loop = asyncio.get_running_loop()

        class Meddling(asyncio.Future[None]):
            def cancel(self, msg: Any = None) -> bool:
                outer.cancel()
                return super().cancel(msg)

        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        with outer:
            with within.move_on_after(LIMIT):
                await Meddling()
            await asyncio.sleep(NEVER)
        assert outer.cancelled_caught
        assert told == []
        assert within.current_time() == LIMIT

    virtually(main)


def test_t22_a_task_that_runs_a_nested_loop_costs_little() -> None:
    """As nest_asyncio does it: passes of the loop while the task is on the stack."""

    async def main() -> float:
        loop: Any = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        with within.move_on_after(0.01) as limit:
            until = time.monotonic() + 0.5
            used = time.process_time()
            while time.monotonic() < until:
                asyncio._leave_task(loop, task)
                try:
                    loop._run_once()
                finally:
                    asyncio._enter_task(loop, task)
                loop.call_later(0.05, int)
            used = time.process_time() - used
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        return used

    assert asyncio.run(main()) < 0.25


# -- T9: groups ------------------------------------------------------------------


def leaves(error: BaseException) -> list[type[BaseException]]:
    if isinstance(error, BaseExceptionGroup):
        return [kind for member in error.exceptions for kind in leaves(member)]
    return [type(error)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t9_our_cancellation_is_taken_out_of_a_group(backend: str) -> None:
    import anyio

    async def clean_up() -> None:
        try:
            raise ExceptionGroup("several", [ValueError(1), KeyError(2)])
        except* KeyError:
            await anyio.sleep(NEVER)

    async def main() -> within.Timeout:
        with pytest.raises(ExceptionGroup) as raised:
            async with within.timeout(LIMIT) as limit:
                await clean_up()
        assert leaves(raised.value) == [ValueError]
        return limit

    assert not run(main, backend=backend, virtual_time=True).cancelled_caught


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t9_a_group_of_nothing_but_our_cancellation_is_caught(backend: str) -> None:
    import anyio

    async def main() -> within.Timeout:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT) as limit:
                try:
                    raise ExceptionGroup("one", [KeyError(2)])
                except* KeyError:
                    await anyio.sleep(NEVER)
        return limit

    assert run(main, backend=backend, virtual_time=True).cancelled_caught


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
