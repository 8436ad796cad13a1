"""T4, T6, T7, T22: which of several cancellations ends which block."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from virtual_limits import LIMIT, NEVER, this_task, virtually

import within

# -- T7 ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t7_a_limit_on_the_clean_up_ends_only_the_clean_up(backend: str) -> None:
    async def main() -> None:
        start = within.current_time()
        with pytest.raises(within.DeadlineExceeded) as raised:
            with within.timeout(LIMIT) as outer:
                try:
                    await anyio.sleep(NEVER)
                finally:
                    with within.shield(LIMIT) as clean_up:
                        await anyio.sleep(NEVER)
                    assert clean_up.cancelled_caught
                    assert within.current_time() == start + 2 * LIMIT
        assert raised.value.scope is outer

    virtually(main, backend)


def test_t7_a_limit_without_a_shield_ends_only_the_clean_up_on_asyncio() -> None:
    """On asyncio a block cancels once. On trio the clean-up is cancelled at once."""

    async def main() -> None:
        after = 0.0
        with within.move_on_after(LIMIT) as outer:
            try:
                await asyncio.sleep(NEVER)
            finally:
                with within.move_on_after(LIMIT) as clean_up:
                    await asyncio.sleep(NEVER)
                after = within.current_time()
        assert clean_up.cancelled_caught
        assert outer.cancelled_caught
        assert after == 2 * LIMIT

    virtually(main)


def test_t7_a_block_that_was_open_when_the_outer_one_was_told_is_skipped() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(LIMIT) as outer:
            with within.move_on_after(2 * LIMIT) as inner:
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    await asyncio.sleep(NEVER)
            reached.append("after the inner block")
        assert reached == []
        assert not inner.cancelled_caught
        assert outer.cancelled_caught
        assert within.current_time() == 2 * LIMIT

    virtually(main)


def test_t7_t14_what_ends_a_shield_is_its_own_deadline() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(LIMIT) as outer:
            with within.shield(2 * LIMIT) as shield:
                await asyncio.sleep(NEVER)
            reached.append(within.current_time())
            await asyncio.sleep(NEVER)
        assert shield.cancelled_caught
        assert outer.cancelled_caught
        assert reached == [2 * LIMIT]

    virtually(main)


def test_t7_a_cancellation_that_is_handed_on_is_not_repeated() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(None) as outer:
            try:
                with within.move_on_after(LIMIT) as inner:
                    try:
                        await asyncio.sleep(NEVER)
                    finally:
                        outer.cancel()
            finally:
                await asyncio.sleep(LIMIT)
                reached.append(within.current_time())
        assert not inner.cancelled_caught
        assert outer.cancelled_caught
        assert reached == [2 * LIMIT]

    virtually(main)


# -- T6, T22 -----------------------------------------------------------------------


def test_t22_a_deadline_in_the_clean_up_of_another_is_no_foreign_cancellation() -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded) as raised:
            with within.timeout(2 * LIMIT) as outer:
                asyncio.get_running_loop().call_soon(this_task().cancel)
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError:
                    pass  # swallowed, but cancelling() goes on to count it
                with within.move_on_after(LIMIT):
                    try:
                        await asyncio.sleep(NEVER)
                    finally:
                        await asyncio.sleep(NEVER)
        assert raised.value.scope is outer
        assert within.current_time() == 2 * LIMIT

    virtually(main)


def test_t6_a_limit_in_a_clean_up_that_raises_a_group_lets_the_other_pass() -> None:
    async def worker() -> None:
        async with within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                try:
                    raise ExceptionGroup("two", [ValueError(), KeyError()])
                except* KeyError:
                    await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(LIMIT / 2)
        task.cancel()
        with pytest.raises(BaseExceptionGroup) as raised:
            await task
        assert raised.value.subgroup(asyncio.CancelledError)
        assert within.current_time() == LIMIT

    virtually(main)


def test_t6_a_cancellation_in_the_clean_up_of_two_limits_passes() -> None:
    async def worker() -> None:
        async with within.timeout(2 * LIMIT), within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(3 * LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtually(main)


def test_t6_t15_a_cancelled_scope_outside_a_shield_takes_nothing_over() -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope, anyio.CancelScope(shield=True):
            scope.cancel()
            with within.move_on_after(LIMIT) as limit:
                await asyncio.sleep(NEVER)
            caught.append(limit.cancelled_caught)
        assert caught == [True]
        assert within.current_time() == LIMIT

    caught: list[bool] = []
    virtually(main)


# -- T22: groups that drop a cancellation, before CPython 3.13 ---------------------


@pytest.mark.parametrize("clean_up", [0, LIMIT])
@pytest.mark.parametrize("is_in_body", [False, True])
def test_t22_a_child_that_fails_when_it_is_cancelled_does_not_swallow_the_limit(
    is_in_body: bool, clean_up: float
) -> None:
    async def fails_when_cancelled() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            await asyncio.sleep(clean_up)
            raise ConnectionError

    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fails_when_cancelled())
                        if is_in_body:
                            await asyncio.sleep(NEVER)
                except* ConnectionError:
                    pass
                await asyncio.sleep(NEVER)
        assert this_task().cancelling() == 0
        assert within.current_time() == LIMIT + clean_up

    virtually(main)


def test_t22_the_group_of_another_task_brings_no_second_cancellation() -> None:
    async def fails() -> None:
        await asyncio.sleep(2 * LIMIT)
        raise ConnectionError

    async def other(group: asyncio.TaskGroup) -> float:
        with within.move_on_after(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                await asyncio.sleep(1.5 * LIMIT)
                await asyncio.sleep(0.5 * LIMIT)
                reached.append(group)
        return within.current_time()

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                task = asyncio.create_task(other(group))
                await asyncio.sleep(NEVER)
        assert await task == 3 * LIMIT
        assert reached == [group]

    reached: list[Any] = []
    virtually(main)


# -- T4, T6: one cancellation is enough --------------------------------------------


def test_t6_a_foreign_cancellation_in_the_pass_of_the_deadline_comes_alone() -> None:
    async def worker() -> None:
        with within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                await asyncio.sleep(LIMIT)
                reached.append(within.current_time())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(worker())
        loop.call_at(loop.time() + LIMIT, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reached == [2 * LIMIT]

    reached: list[float] = []
    virtually(main)


@pytest.mark.parametrize("what", ["future", "task", "task behind a task"])
def test_t4_what_another_deadline_has_cancelled_cancels_nobody_twice(what: str) -> None:
    async def passes_on(shared: asyncio.Future[Any]) -> None:
        await shared

    async def first(shared: asyncio.Future[Any]) -> None:
        with within.move_on_after(LIMIT):
            if what == "task behind a task":
                shared = asyncio.create_task(passes_on(shared))
            await shared

    async def second(shared: asyncio.Future[Any]) -> None:
        with within.move_on_after(LIMIT) as limit:
            try:
                await shared
            finally:
                await asyncio.sleep(LIMIT)
                reached.append(within.current_time())
        assert limit.cancelled_caught

    async def main() -> None:
        shared: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if what != "future":
            shared = asyncio.create_task(asyncio.sleep(NEVER))
        await asyncio.gather(first(shared), second(shared))
        assert reached == [2 * LIMIT]

    reached: list[float] = []
    virtually(main)


# -- T4, T22: what a task waits for -----------------------------------------------------


def test_t4_an_exception_on_its_way_ends_a_wait_for_the_first_exception() -> None:
    async def fails(future: asyncio.Future[None]) -> None:
        await future
        raise ConnectionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        never = asyncio.create_task(asyncio.sleep(NEVER))
        failing = asyncio.create_task(fails(future))
        loop.call_at(loop.time() + LIMIT, future.set_exception, ConnectionError())
        done: list[Any] = []
        with within.move_on_after(LIMIT) as limit:
            done += (
                await asyncio.wait(
                    [future, failing, never], return_when=asyncio.FIRST_EXCEPTION
                )
            )[0]
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        assert future in done
        never.cancel()
        await asyncio.wait([never, failing])
        assert failing.exception() is future.exception()

    virtually(main)


def test_t2_gather_is_not_waited_for_while_one_of_its_tasks_has_no_result() -> None:
    """A chain of tasks gets many passes, but only if the wait ends with the chain."""

    async def deep(future: asyncio.Future[int], depth: int) -> int:
        if depth:
            return await asyncio.create_task(deep(future, depth - 1))
        return await future

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        chain = asyncio.create_task(deep(future, 5))
        loop.call_at(loop.time() + LIMIT, future.set_result, 1)
        with within.move_on_after(LIMIT):
            await asyncio.gather(chain, asyncio.sleep(NEVER))
        await asyncio.sleep(LIMIT)
        assert chain.cancelled()

    virtually(main)
