"""T22: the limit holds. T9: our cancellation is taken out of a group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

import within
from within.testing import run

LIMIT = 1.0
NEVER = 3600.0


def virtually(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run(main, virtual_time=True)


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


def test_t6_a_limit_that_passes_while_an_error_after_a_cancellation_is_handled() -> (
    None
):
    async def worker() -> None:
        async with within.timeout(LIMIT):
            try:
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError as error:
                    raise ValueError from error
            except ValueError:
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


def test_t22_a_cancel_that_ends_another_block_is_not_called_again_within_itself() -> (
    None
):
    async def main() -> None:
        outer = within.move_on_after(None)
        depth = 0
        depths: list[int] = []

        class Meddling(asyncio.Future[None]):
            def cancel(self, msg: Any = None) -> bool:
                nonlocal depth
                depth += 1
                depths.append(depth)
                outer.cancel()
                depth -= 1
                return super().cancel(msg)

        with outer, within.move_on_after(LIMIT):
            await Meddling()
        assert outer.cancelled_caught
        assert set(depths) == {1}

    virtually(main)


def test_t22_a_block_that_was_ended_by_the_cancel_of_a_waiter_is_not_forgotten() -> (
    None
):
    """The body swallows the cancellation of the inner block."""

    async def main() -> None:
        outer = within.move_on_after(None)

        class Meddling(asyncio.Future[None]):
            def cancel(self, msg: Any = None) -> bool:
                outer.cancel()
                return super().cancel(msg)

        with outer, within.move_on_after(LIMIT):
            with contextlib.suppress(asyncio.CancelledError):
                await Meddling()
            await asyncio.sleep(NEVER)
        assert outer.cancelled_caught
        assert within.current_time() == LIMIT

    virtually(main)


def test_t22_a_look_behind_many_ways_to_the_same_tasks_ends() -> None:
    """There are 2 ** 40 ways to the last task."""

    async def main() -> None:
        last = asyncio.create_task(asyncio.sleep(2 * LIMIT))
        rank = [last]
        for _ in range(40):
            rank = [asyncio.create_task(waits_for(rank)) for _ in range(2)]
        await asyncio.sleep(0)
        with within.move_on_after(LIMIT) as limit:
            await asyncio.wait(rank)
        assert limit.cancelled_caught
        await asyncio.wait(rank)

    async def waits_for(tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(tasks)

    virtually(main)


def test_t22_a_task_that_runs_a_nested_loop_costs_little() -> None:
    """As nest_asyncio does it: passes of the loop while the task is on the stack."""

    async def main() -> int:
        loop: Any = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        passes = 0
        with within.move_on_after(LIMIT / 100) as limit:
            while loop.time() < LIMIT and passes < 1000:
                asyncio._leave_task(loop, task)
                try:
                    loop._run_once()
                finally:
                    asyncio._enter_task(loop, task)
                passes += 1
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        return passes

    assert virtually(main) < 200


# -- T9: groups ------------------------------------------------------------------


def leaves(error: BaseException) -> list[type[BaseException]]:
    if isinstance(error, BaseExceptionGroup):
        return [kind for member in error.exceptions for kind in leaves(member)]
    return [type(error)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t9_our_cancellation_is_taken_out_of_a_group(backend: str) -> None:
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
    async def main() -> within.Timeout:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT) as limit:
                try:
                    raise ExceptionGroup("one", [KeyError(2)])
                except* KeyError:
                    await anyio.sleep(NEVER)
        return limit

    assert run(main, backend=backend, virtual_time=True).cancelled_caught
