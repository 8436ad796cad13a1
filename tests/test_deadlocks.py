"""In virtual time a deadlock is reported with every waiting task, and cleaned up."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from deadlock_reports import Main, deadlock, waits
from virtual_runs import LOOPS, each_loop, virtually, waker

import within
from within.testing import Deadlock, virtual_clock
from within.testing._asyncio_loop import VirtualTimeLoop
from within.testing._runs import raising_deadlocks


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """No warning that something was never awaited, never retrieved or not closed."""
    yield
    gc.collect()  # warnings are errors in this suite; asyncio logs what it finds
    assert [x.getMessage() for x in caplog.records if x.levelno > logging.DEBUG] == []


# -- the tasks and their lines ------------------------------------------------------


async def for_an_event() -> None:
    await anyio.Event().wait()  # waits


async def forever() -> None:
    await anyio.sleep_forever()  # waits


async def for_a_lock() -> None:
    lock = anyio.Lock()
    async with lock, anyio.create_task_group() as group:  # waits
        group.start_soon(lock.acquire)


async def for_a_stream() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    with send, receive:
        await receive.receive()  # waits


async def in_a_shield() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()  # waits


async def in_a_shield_of_ours() -> None:
    with within.shield():
        await anyio.sleep_forever()  # waits


async def numbers() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()  # waits
    yield 2


@asynccontextmanager
async def manager() -> AsyncIterator[None]:
    await anyio.sleep_forever()  # waits
    yield


class Awaited:
    async def _run(self) -> None:
        await anyio.sleep_forever()  # waits

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run().__await__()


async def over_a_generator() -> None:
    async for _ in (generator := numbers()):
        pass
    await generator.aclose()  # type: ignore[attr-defined]


async def for_the_next_of_a_generator() -> None:
    generator = numbers()
    while await anext(generator, None):
        pass


async def entering_a_manager() -> None:
    async with manager():
        pass


async def for_an_awaitable() -> None:
    await Awaited()


async def for_a_future() -> None:
    await asyncio.get_running_loop().create_future()  # waits


async def for_an_asyncio_queue() -> None:
    await asyncio.wait_for(asyncio.Queue[int]().get(), None)  # waits


async def in_gather() -> None:
    await asyncio.gather(asyncio.sleep(1), asyncio.Event().wait())  # waits


async def with_an_infinite_deadline() -> None:
    async with asyncio.timeout(float("inf")):
        await asyncio.sleep(float("inf"))  # waits


async def for_a_trio_channel() -> None:
    send, receive = trio.open_memory_channel[int](0)
    with send, receive:
        await receive.receive()  # waits


async def in_a_trio_shield() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()  # waits


ANYWHERE: list[tuple[Main, Any]] = [
    (for_an_event, for_an_event),
    (forever, forever),
    (for_a_lock, for_a_lock),
    (for_a_stream, for_a_stream),
    (in_a_shield, in_a_shield),
    (in_a_shield_of_ours, in_a_shield_of_ours),
    (over_a_generator, numbers),
    (for_the_next_of_a_generator, numbers),
    (entering_a_manager, manager.__wrapped__),  # type: ignore[attr-defined]
    (for_an_awaitable, Awaited._run),
]
ON_ASYNCIO = [for_a_future, for_an_asyncio_queue, in_gather]
ON_ASYNCIO += [with_an_infinite_deadline]
ON_TRIO = [for_a_trio_channel, in_a_trio_shield]
CASES = [
    *((loop, main, where) for loop in LOOPS for main, where in ANYWHERE),
    *(("asyncio", main, main) for main in ON_ASYNCIO),
    *(("trio", main, main) for main in ON_TRIO),
]


@pytest.mark.parametrize(("loop", "main", "where"), CASES)
def test_v2_a_deadlock_names_the_line_at_which_a_task_waits(
    loop: str, main: Main, where: Any
) -> None:
    report = deadlock(loop, main)
    assert report.startswith("deadlock at ")
    assert waits(where) in report


@each_loop
def test_v2_a_deadlock_lists_every_task_with_its_line(loop: str) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:  # waits
            group.start_soon(for_an_event, name="one")
            group.start_soon(in_a_shield, name="two")
            group.start_soon(over_a_generator, name="three")
            await anyio.sleep(90)

    report = deadlock(loop, main)
    first, *tasks = report.split("\n  ")
    assert first.startswith("deadlock at 90 s of virtual time")
    assert len(tasks) == 4
    assert set(tasks) > {
        f"one: {waits(for_an_event)}",
        f"two: {waits(in_a_shield)}",
        f"three: {waits(numbers)}",
    }
    assert any(task.endswith(waits(main)) for task in tasks)


# -- tasks that are hard to end ----------------------------------------------


async def swallows_cancellation(times: int = 3) -> None:
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


async def hangs_in_clean_up() -> None:
    try:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()
    finally:
        with within.shield():
            await anyio.sleep_forever()


async def fails_in_clean_up() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        raise ValueError("in clean-up")


async def with_a_task_that_hangs_in_clean_up() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hangs_in_clean_up)
        group.start_soon(hangs_in_clean_up)


STUBBORN = [
    ("asyncio", swallows_cancellation),
    *((loop, hangs_in_clean_up) for loop in LOOPS),
    *((loop, fails_in_clean_up) for loop in LOOPS),
    *((loop, with_a_task_that_hangs_in_clean_up) for loop in LOOPS),
]


@pytest.mark.parametrize(("loop", "main"), STUBBORN)
def test_v2_a_deadlock_is_raised_however_stubborn_the_tasks_are(
    loop: str, main: Main
) -> None:
    assert main.__name__ in deadlock(loop, main)


def test_v2_a_task_that_hangs_while_the_loop_closes_is_a_deadlock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def left_over() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()  # waits

    async def main() -> None:
        tasks.append(asyncio.create_task(left_over()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    assert waits(left_over) in deadlock("asyncio", main)
    tasks.clear()
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending" is true here


@each_loop
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("in_group", [False, True])
def test_v2_an_exception_that_stops_the_program_is_not_replaced(
    loop: str, stop: type[BaseException], in_group: bool
) -> None:
    async def stops() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise stop

    async def main() -> None:
        if not in_group:
            await stops()
        with pytest.raises(BaseExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(stops)
        raise caught.value

    # asyncio lets both out of the loop at once if a task raises them.
    if in_group and loop == "asyncio":
        pytest.skip("asyncio ends the loop by itself")
    with pytest.raises(BaseException) as caught:
        virtually(loop, main)
    assert not isinstance(caught.value, Deadlock)
    if in_group:
        assert isinstance(caught.value, BaseExceptionGroup)
        assert caught.value.subgroup(stop) is not None
    else:
        assert isinstance(caught.value, stop)


# -- afterwards ----------------------------------------------------------------


@each_loop
def test_v2_a_loop_stays_usable_after_many_deadlocks(loop: str) -> None:
    async def main() -> float:
        for _ in range(15):  # more deadlocks than attempts to end a single one
            with pytest.raises(Deadlock):
                await raising_deadlocks(in_a_shield, loop)()
            await raising_deadlocks(anyio.sleep, loop)(1)
        return virtual_clock().now

    assert virtually(loop, main) == 15


@each_loop
def test_v2_no_cancellation_is_left_on_the_task(loop: str) -> None:
    async def main() -> None:
        with pytest.raises(Deadlock):
            await raising_deadlocks(forever, loop)()
        assert within.current_effective_deadline() == float("inf")
        if loop == "asyncio":
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
        with within.move_on_after(1) as limit:
            await anyio.sleep_forever()
        assert limit.cancelled_caught

    virtually(loop, main)


@each_loop
def test_v2_each_of_two_nested_calls_reports_its_own_deadlock(loop: str) -> None:
    async def main() -> None:
        with pytest.raises(Deadlock, match="forever"):
            await raising_deadlocks(forever, loop)()
        try:
            await for_an_event()
        finally:
            reached.append(loop)

    reached: list[str] = []
    assert waits(for_an_event) in deadlock(loop, main)
    assert reached == [loop]


def test_v2_each_run_of_a_loop_reports_its_own_deadlock() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for main in (forever, for_an_event):
            with pytest.raises(Deadlock) as caught:
                runner.run(raising_deadlocks(main, "asyncio")())  # type: ignore[arg-type]
            assert waits(main) in str(caught.value)
        runner.run(raising_deadlocks(anyio.sleep, "asyncio")(1))  # type: ignore[arg-type]


# -- what cannot wake a task any more -----------------------------------------


@each_loop
def test_v2_a_thread_that_ends_without_waking_the_loop_is_no_hang(loop: str) -> None:
    threads = list[threading.Thread]()

    async def main() -> None:
        release = threading.Event()
        threads.append(threading.Thread(target=release.wait))
        threads[0].start()
        waker()(release.set)
        await anyio.sleep_forever()

    deadlock(loop, main)
    threads[0].join()


@pytest.mark.parametrize("prefix", ["", "named"])
def test_v2_idle_threads_of_a_pool_are_ignored(prefix: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await loop.run_in_executor(pool, int)
        await asyncio.to_thread(int)
        await anyio.to_thread.run_sync(int)
        await anyio.sleep_forever()

    with ThreadPoolExecutor(2, prefix) as pool:
        deadlock("asyncio", main)


def test_v2_idle_threads_of_trio_are_ignored() -> None:
    async def main() -> None:
        for _ in range(3):
            await trio.to_thread.run_sync(int)
        await trio.sleep_forever()

    deadlock("trio", main)
