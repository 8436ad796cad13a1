"""T22: a TaskGroup that is hard to find does not swallow the limit either."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
from virtual_limits import LIMIT, NEVER, this_task, virtually

import within
from within._backends._asyncio._waiting import passes_until_done


async def fails_when_cancelled() -> None:
    try:
        await asyncio.sleep(NEVER)
    finally:
        raise ConnectionError


@contextlib.asynccontextmanager
async def in_a_generator() -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails_when_cancelled())
        yield


class InAnAttribute:
    async def __aenter__(self) -> None:
        self.group = await asyncio.TaskGroup().__aenter__()
        self.group.create_task(fails_when_cancelled())

    async def __aexit__(self, *exc: Any) -> None:  # noqa: PYI036  (passed on)
        await self.group.__aexit__(*exc)


class InAStack:
    async def __aenter__(self) -> None:
        self.stack = contextlib.AsyncExitStack()
        group = await self.stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(fails_when_cancelled())

    async def __aexit__(self, *exc: Any) -> bool:  # noqa: PYI036
        return await self.stack.__aexit__(*exc)


@pytest.mark.parametrize("service", [in_a_generator, InAnAttribute, InAStack])
def test_t22_a_group_inside_a_service_does_not_swallow_the_limit(
    service: Callable[[], contextlib.AbstractAsyncContextManager[None]],
) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                with contextlib.suppress(BaseExceptionGroup):
                    async with service():
                        await asyncio.sleep(NEVER)
                await asyncio.sleep(NEVER)
        assert within.current_time() == LIMIT
        assert this_task().cancelling() == 0

    virtually(main)


@pytest.mark.parametrize("way", [asyncio.create_task, asyncio.gather, asyncio.shield])
def test_t22_a_group_in_a_task_that_is_awaited_does_not_swallow_the_limit(
    way: Callable[[Coroutine[Any, Any, None]], Awaitable[Any]],
) -> None:
    async def child() -> None:
        with contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_when_cancelled())
                await asyncio.sleep(NEVER)
        await asyncio.sleep(2 * LIMIT)

    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                await way(child())
        assert within.current_time() == LIMIT
        others = asyncio.all_tasks() - {this_task()}
        for task in others:  # behind the shield
            task.cancel()
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0)), *others])

    virtually(main)


def test_t22_a_group_of_3_13_may_send_our_cancellation_again_without_its_message() -> (
    None
):
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            async with within.timeout(LIMIT):
                asyncio.get_running_loop().call_soon(this_task().cancel)
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.sleep(NEVER)
                with contextlib.suppress(BaseExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fails_when_cancelled())
                        await asyncio.sleep(NEVER)
                await asyncio.sleep(NEVER)
        assert within.current_time() == LIMIT

    virtually(main)


def test_t2_a_class_that_is_only_called_task_group_keeps_no_deadline_waiting() -> None:
    class TaskGroup:
        def __init__(self, future: asyncio.Future[None]) -> None:
            self._tasks = [future]

        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, *exc: object) -> None:
            await asyncio.get_running_loop().create_future()

    TaskGroup.__aexit__.__code__ = TaskGroup.__aexit__.__code__.replace(
        co_qualname="TaskGroup.__aexit__"
    )

    async def opens(done: asyncio.Future[None]) -> None:
        async with TaskGroup(done):
            pass

    async def main() -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        task: Any = asyncio.create_task(opens(done))
        await asyncio.sleep(0)
        assert passes_until_done(task, task._fut_waiter, lambda _: False) == 0
        task.cancel()

    virtually(main)


def test_t15_the_scope_around_a_block_may_be_left_before_the_block() -> None:
    async def main() -> None:
        with anyio.CancelScope(shield=True):
            scope = anyio.CancelScope()
            scope.__enter__()
            with within.move_on_after(LIMIT) as limit:
                scope.__exit__(None, None, None)
                await anyio.sleep(NEVER)
        caught.append(limit.cancelled_caught)
        assert within.current_time() == LIMIT

    caught: list[bool] = []
    virtually(main)
    assert caught == [True]
