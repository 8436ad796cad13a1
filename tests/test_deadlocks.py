"""In virtual time a deadlock is reported with every waiting task, and cleaned up."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
import trio
from deadlock_programs import (
    CASES,
    Main,
    deadlock,
    for_an_event,
    forever,
    in_a_shield,
    numbers,
    over_a_generator,
    waits,
)
from virtual_runs import each_loop, virtually, waker

import within
from within.testing import Deadlock, virtual_clock
from within.testing._asyncio_loop import VirtualTimeLoop
from within.testing._runs import raising_deadlocks

pytestmark = pytest.mark.usefixtures("no_complaints")


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


# -- threads that can no longer wake a task -----------------------------------------


@each_loop
def test_v2_a_thread_that_ends_without_waking_the_loop_leaves_a_deadlock(
    loop: str,
) -> None:
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
