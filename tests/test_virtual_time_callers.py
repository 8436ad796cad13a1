"""In virtual time, a thread may ask its loop for something that takes long (V8)."""

from __future__ import annotations

import asyncio
import contextlib
import time
import types
from collections.abc import AsyncGenerator, Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio
from test_deadlocks import deadlock
from virtual_runs import each_loop, virtually

import within
from within.testing import _callers, virtual_clock

LONGER = 0.5  # real seconds: longer than a thread that the loop does not know may take


async def in_a_worker() -> None:
    await anyio.to_thread.run_sync(anyio.from_thread.run, anyio.sleep, 3600)


async def through_a_portal() -> None:
    async with anyio.from_thread.BlockingPortal() as portal:
        await anyio.to_thread.run_sync(portal.call, anyio.sleep, 3600)


async def through_a_future_of_a_portal() -> None:
    async with anyio.from_thread.BlockingPortal() as portal:
        await anyio.to_thread.run_sync(
            lambda: portal.start_task_soon(anyio.sleep, 3600).result()
        )


async def through_a_portal_that_has_been_stopped() -> None:
    async with anyio.create_task_group() as group:
        async with anyio.from_thread.BlockingPortal() as portal:
            group.start_soon(anyio.to_thread.run_sync, portal.call, anyio.sleep, 3600)
            await anyio.sleep(1)


async def starts_late(*, task_status: Any) -> None:
    await anyio.sleep(3600)
    task_status.started()


async def until_a_portal_has_started_a_task() -> None:
    async with anyio.from_thread.BlockingPortal() as portal:
        await anyio.to_thread.run_sync(portal.start_task, starts_late)


@contextlib.asynccontextmanager
async def opens_late() -> AsyncGenerator[None]:
    await anyio.sleep(3600)
    yield


async def in_a_context_manager_of_a_portal() -> None:
    async with anyio.from_thread.BlockingPortal() as portal:

        def enter() -> None:
            with portal.wrap_async_context_manager(opens_late()):
                pass

        await anyio.to_thread.run_sync(enter)


async def in_a_thread_of_asyncio(wait: Callable[[Any], object] = Future.result) -> None:
    loop = asyncio.get_running_loop()

    def ask() -> None:
        wait(asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop))

    await asyncio.to_thread(ask)


async def in_a_thread_of_asyncio_that_asks_first() -> None:
    def wait(future: Future[None]) -> None:
        time.sleep(0.1)  # the loop is already waiting for its next event
        future.result()

    await in_a_thread_of_asyncio(wait)


async def in_more_calls_than_the_pool_has_threads() -> None:
    loop = asyncio.get_running_loop()
    slept = list[float]()

    async def sleep() -> None:
        await asyncio.sleep(1200)
        slept.append(1200)

    def ask() -> None:
        asyncio.run_coroutine_threadsafe(sleep(), loop).result()

    with ThreadPoolExecutor(2) as pool:
        await asyncio.gather(*[loop.run_in_executor(pool, ask) for _ in range(5)])
    assert len(slept) == 5


async def in_a_thread_that_asks_for_the_error() -> None:
    await in_a_thread_of_asyncio(Future.exception)


async def in_a_thread_that_waits_for_several() -> None:
    loop = asyncio.get_running_loop()

    def ask(delay: float) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(delay), loop)

    def work() -> None:
        first, second = ask(1800), ask(3600)
        assert futures.wait([first, second], return_when="FIRST_COMPLETED").done == {
            first
        }
        futures.wait([first, second])

    await asyncio.to_thread(work)


async def in_a_thread_that_takes_each_as_it_comes() -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        asked = [
            asyncio.run_coroutine_threadsafe(asyncio.sleep(delay), loop)
            for delay in (3600, 1800, 900)
        ]
        assert list(futures.as_completed(asked)) == asked[::-1]

    await asyncio.to_thread(work)


async def in_a_thread_of_trio() -> None:
    await trio.to_thread.run_sync(trio.from_thread.run, trio.sleep, 3600)


async def in_a_thread_of_trio_with_its_own_limiter() -> None:
    await trio.to_thread.run_sync(
        trio.from_thread.run, trio.sleep, 3600, limiter=trio.CapacityLimiter(1)
    )


WAYS: list[tuple[str, Any]] = [
    ("asyncio", in_a_worker),
    ("asyncio", through_a_portal),
    ("asyncio", through_a_future_of_a_portal),
    ("asyncio", through_a_portal_that_has_been_stopped),
    ("asyncio", until_a_portal_has_started_a_task),
    ("asyncio", in_a_context_manager_of_a_portal),
    ("asyncio", in_a_thread_of_asyncio),
    ("asyncio", in_a_thread_of_asyncio_that_asks_first),
    ("trio", in_a_worker),
    ("trio", through_a_portal),
    ("asyncio", in_more_calls_than_the_pool_has_threads),
    ("asyncio", in_a_thread_that_asks_for_the_error),
    ("asyncio", in_a_thread_that_waits_for_several),
    ("asyncio", in_a_thread_that_takes_each_as_it_comes),
    ("trio", through_a_future_of_a_portal),
    ("trio", through_a_portal_that_has_been_stopped),
    ("trio", until_a_portal_has_started_a_task),
    ("trio", in_a_context_manager_of_a_portal),
    ("trio", in_a_thread_of_trio),
    ("trio", in_a_thread_of_trio_with_its_own_limiter),
]


@pytest.mark.parametrize(("loop", "ask"), WAYS)
def test_v8_the_clock_moves_while_a_thread_waits_for_its_loop(
    loop: str, ask: Any
) -> None:
    async def main() -> float:
        for _ in range(2):
            await ask()
        return virtual_clock().now

    assert virtually(loop, main) == 7200


@each_loop
def test_v2_no_time_passes_while_a_thread_works_on_an_answer(loop: str) -> None:
    def work() -> None:
        for _ in range(20):
            anyio.from_thread.run(anyio.sleep, 0)
            time.sleep(0.005)
        time.sleep(0.2)  # longer than a moment

    async def main() -> float:
        with within.timeout(1):
            await anyio.to_thread.run_sync(work)
        return virtual_clock().now

    assert virtually(loop, main) == 0


@each_loop
def test_v2_another_thread_that_is_at_work_holds_the_clock(loop: str) -> None:
    async def main() -> list[float]:
        seen = list[float]()

        async def works() -> None:
            await anyio.to_thread.run_sync(time.sleep, 0.3)
            seen.append(virtual_clock().now)

        async with anyio.create_task_group() as group:
            group.start_soon(in_a_worker)
            group.start_soon(works)
        return [*seen, virtual_clock().now]

    assert virtually(loop, main) == [0, 3600]


def test_v2_a_call_holds_the_clock_although_a_thread_of_another_pool_waits() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asks, loop)
            await asyncio.to_thread(time.sleep, LONGER)
            now = virtual_clock().now
            await asyncio.sleep(3601)  # so that the thread ends
        return now

    def asks(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop).result()

    assert virtually("asyncio", main) == 0


@pytest.mark.parametrize(
    "wait",
    [Future.result, lambda future: futures.wait([future])],
    ids=["for-one", "for-several"],
)
def test_v2_a_thread_that_waits_for_another_thread_holds_the_clock(
    wait: Callable[[Future[None]], object],
) -> None:
    async def main() -> float:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(time.sleep, LONGER)
            waits_too = asyncio.wrap_future(future)
            with within.timeout(3600):
                await asyncio.to_thread(wait, future)
            await waits_too
        return virtual_clock().now

    assert virtually("asyncio", main) == 0


@each_loop
def test_v2_a_thread_that_waits_for_a_task_that_waits_for_ever_is_a_deadlock(
    loop: str,
) -> None:
    async def main() -> None:
        run = anyio.from_thread.run
        async with anyio.create_task_group() as group:
            for _ in range(30):  # some in threads that are older, and some in new ones
                group.start_soon(anyio.to_thread.run_sync, run, anyio.sleep_forever)

    deadlock(loop, main)


def test_v8_the_variables_of_a_function_that_may_be_running_are_not_read() -> None:
    """Before 3.13, that may crash the interpreter."""
    frame: Any = types.SimpleNamespace(f_code=in_a_worker.__code__, f_back=None)
    assert _callers._loops_asked(frame) == []
