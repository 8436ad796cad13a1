"""In virtual time, what waits for nothing is told of, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from virtual_runs import LOOPS, each_loop, virtually, waker

import within
from within.testing import Deadlock, virtual_clock
from within.testing._asyncio_loop import VirtualTimeLoop
from within.testing._runs import raising_deadlocks

Main = Callable[[], Awaitable[Any]]


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """No word of what was "never awaited", "never retrieved" or not closed."""
    yield
    gc.collect()  # a warning is an error here, and what asyncio finds it logs
    assert [x.getMessage() for x in caplog.records if x.levelno > logging.DEBUG] == []


def waits(function: Any) -> str:
    """The line of ``function`` that says so, as the report gives it."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (n for n, line in enumerate(lines) if "# waits" in line)
    return f"{__file__}:{first + offset} in {function.__qualname__}"


def deadlock(loop: str, main: Main) -> str:
    with pytest.raises(Deadlock) as caught:
        virtually(loop, main)
    return str(caught.value)


# -- who waits, and where ------------------------------------------------------


async def for_an_event() -> None:
    await anyio.Event().wait()  # waits


async def for_ever() -> None:
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


async def for_one_of_asyncio() -> None:
    await asyncio.wait_for(asyncio.Queue[int]().get(), None)  # waits


async def for_a_gathering() -> None:
    await asyncio.gather(asyncio.sleep(1), asyncio.Event().wait())  # waits


async def for_a_deadline_without_end() -> None:
    async with asyncio.timeout(float("inf")):
        await asyncio.sleep(float("inf"))  # waits


async def for_one_of_trio() -> None:
    send, receive = trio.open_memory_channel[int](0)
    with send, receive:
        await receive.receive()  # waits


async def for_trio_for_ever() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()  # waits


ANYWHERE: list[tuple[Main, Any]] = [
    (for_an_event, for_an_event),
    (for_ever, for_ever),
    (for_a_lock, for_a_lock),
    (for_a_stream, for_a_stream),
    (in_a_shield, in_a_shield),
    (in_a_shield_of_ours, in_a_shield_of_ours),
    (over_a_generator, numbers),
    (for_the_next_of_a_generator, numbers),
    (entering_a_manager, manager.__wrapped__),  # type: ignore[attr-defined]
    (for_an_awaitable, Awaited._run),
]
ON_ASYNCIO = [for_a_future, for_one_of_asyncio, for_a_gathering]
ON_ASYNCIO += [for_a_deadline_without_end]
ON_TRIO = [for_one_of_trio, for_trio_for_ever]
CASES = [
    *((loop, main, where) for loop in LOOPS for main, where in ANYWHERE),
    *(("asyncio", main, main) for main in ON_ASYNCIO),
    *(("trio", main, main) for main in ON_TRIO),
]


@pytest.mark.parametrize(("loop", "main", "where"), CASES)
def test_v2_a_deadlock_names_the_line_that_waits(
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


# -- what is in the way of ending ----------------------------------------------


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


HINDRANCES = [
    ("asyncio", swallows_cancellation),
    *((loop, hangs_in_clean_up) for loop in LOOPS),
    *((loop, fails_in_clean_up) for loop in LOOPS),
    *((loop, with_a_task_that_hangs_in_clean_up) for loop in LOOPS),
]


@pytest.mark.parametrize(("loop", "main"), HINDRANCES)
def test_v2_a_deadlock_is_raised_whatever_is_done_about_it(
    loop: str, main: Main
) -> None:
    assert main.__name__ in deadlock(loop, main)


def test_v2_what_hangs_while_the_loop_closes_is_a_deadlock_too(
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
    caplog.clear()  # of the word that it was destroyed, as it was


@each_loop
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("in_group", [False, True])
def test_v2_who_stops_the_program_meanwhile_is_heard(
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

    # In a task, asyncio lets both out of the loop at once, which is its business.
    if in_group and loop == "asyncio":
        pytest.skip("they end an asyncio loop by themselves")
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
def test_v2_a_loop_goes_on_after_many_deadlocks(loop: str) -> None:
    async def main() -> float:
        for _ in range(15):  # more than there are attempts at ending one
            with pytest.raises(Deadlock):
                await raising_deadlocks(in_a_shield, loop)()
            await raising_deadlocks(anyio.sleep, loop)(1)
        return virtual_clock().now

    assert virtually(loop, main) == 15


@each_loop
def test_v2_the_task_is_as_uncancelled_as_before(loop: str) -> None:
    async def main() -> None:
        with pytest.raises(Deadlock):
            await raising_deadlocks(for_ever, loop)()
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
def test_v2_of_two_guards_each_reports_its_own(loop: str) -> None:
    async def main() -> None:
        with pytest.raises(Deadlock, match="for_ever"):
            await raising_deadlocks(for_ever, loop)()
        try:
            await for_an_event()
        finally:
            reached.append(loop)

    reached: list[str] = []
    assert waits(for_an_event) in deadlock(loop, main)
    assert reached == [loop]


def test_v2_each_run_of_one_loop_has_its_own_deadlock() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for main in (for_ever, for_an_event):
            with pytest.raises(Deadlock) as caught:
                runner.run(raising_deadlocks(main, "asyncio")())  # type: ignore[arg-type]
            assert waits(main) in str(caught.value)
        runner.run(raising_deadlocks(anyio.sleep, "asyncio")(1))  # type: ignore[arg-type]


# -- what cannot wake anybody any more -----------------------------------------


@each_loop
def test_v2_a_thread_that_ends_without_a_word_is_not_waited_for(loop: str) -> None:
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
def test_v2_idle_threads_of_a_pool_are_not_waited_for(prefix: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await loop.run_in_executor(pool, int)
        await asyncio.to_thread(int)
        await anyio.to_thread.run_sync(int)
        await anyio.sleep_forever()

    with ThreadPoolExecutor(2, prefix) as pool:
        deadlock("asyncio", main)


def test_v2_idle_threads_of_trio_are_not_waited_for() -> None:
    async def main() -> None:
        for _ in range(3):
            await trio.to_thread.run_sync(int)
        await trio.sleep_forever()

    deadlock("trio", main)
