"""In virtual time, a task that polls without sleeping is reported as a deadlock (V8)."""

from __future__ import annotations

import threading
import time

import anyio
import pytest
from deadlock_programs import Main, deadlock, waits
from virtual_runs import each_loop, virtually, wait_for_passes, waker

import within
from within.testing import _clock


async def polls_for_a_time() -> None:
    end = within.current_time() + 10
    while within.current_time() < end:
        await anyio.sleep(0)  # waits


async def polls_in_a_child() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(polls_for_a_time)
        await anyio.sleep(90)


async def polls_in_a_limit() -> None:
    with within.timeout(3600):
        await polls_for_a_time()


@each_loop
@pytest.mark.parametrize("main", [polls_for_a_time, polls_in_a_child, polls_in_a_limit])
def test_v8_a_task_that_polls_without_sleeping_is_reported(
    loop: str, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clock, "MANY_PASSES", 2000)
    report = deadlock(loop, main)
    assert report.startswith("deadlock at 0 s of virtual time: a task polls without")
    assert waits(polls_for_a_time) in report


@each_loop
def test_v8_many_passes_at_one_instant_are_no_polling(loop: str) -> None:
    async def main() -> None:
        for _ in range(20_000):
            await anyio.sleep(0)

    virtually(loop, main)


@each_loop
def test_v8_a_task_may_poll_for_a_thread_or_for_a_child(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clock, "MANY_PASSES", 100)

    async def main() -> None:
        wake, done = waker(), list[int]()

        def work() -> None:
            wait_for_passes(wake)
            time.sleep(0.1)  # many passes in real time
            wake(lambda: done.append(1))

        thread = threading.Thread(target=work)
        thread.start()
        while not done:
            await anyio.sleep(0)
        thread.join()
        async with anyio.create_task_group() as group:
            group.start_soon(sleeps_for_real, done)
            while len(done) < 2:
                await anyio.sleep(0)

    virtually(loop, main)


async def sleeps_for_real(done: list[int]) -> None:
    await within.run("sleep", "0.1")
    done.append(2)
