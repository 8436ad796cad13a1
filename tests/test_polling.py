"""In virtual time, a task that polls without sleeping is reported as a deadlock (V8)."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import anyio
import pytest
from deadlock_programs import Main, deadlock, waits
from virtual_runs import each_loop, virtually, wait_for_passes, waker

import within
from within.testing import _polling
from within.testing._runs import raising_deadlocks


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


async def polls_beside_a_listener() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, anyio.aclose_forcefully)
            await polls_for_a_time()


async def polls_beside(work: Callable[[threading.Event], object]) -> None:
    """Poll beside a thread, whose work ends when the event is set."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=[over])
    thread.start()
    try:
        await polls_for_a_time()
    finally:
        over.set()
        thread.join()


async def polls_beside_idle_threads() -> None:
    await anyio.to_thread.run_sync(int)
    await polls_beside(threading.Event.wait)


async def polls_beside_a_thread_that_never_rests() -> None:
    def tick(over: threading.Event) -> None:
        while not over.is_set():
            time.sleep(0.0001)

    await polls_beside(tick)


async def polls_beside_an_idle_child() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE):
        await polls_for_a_time()


async def polls_in_a_shield() -> None:
    with anyio.CancelScope(shield=True):
        await polls_for_a_time()


POLLING = [
    polls_for_a_time,
    polls_in_a_child,
    polls_in_a_limit,
    polls_beside_a_listener,
    polls_beside_idle_threads,
    polls_beside_a_thread_that_never_rests,
    polls_beside_an_idle_child,
    polls_in_a_shield,
]


@each_loop
@pytest.mark.parametrize("main", POLLING)
def test_v8_a_task_that_polls_without_sleeping_is_reported(
    loop: str, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 2000)
    report = deadlock(loop, main)
    assert report.startswith("deadlock at 0 s of virtual time: a task polls without")
    assert waits(polls_for_a_time) in report


async def swallows_everything() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    while True:
        with contextlib.suppress(Exception, cancelled):
            await anyio.sleep(0)  # waits


async def swallows_in_shields() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    while True:
        with contextlib.suppress(cancelled), anyio.CancelScope(shield=True):
            await anyio.sleep_forever()  # waits


@each_loop
@pytest.mark.parametrize("main", [swallows_everything, swallows_in_shields])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_v8_a_task_that_cannot_be_ended_is_reported(
    loop: str, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 2000)
    assert waits(main) in deadlock(loop, main)
    gc.collect()  # trio's own tasks complain when they are closed after the crash


@each_loop
def test_v8_many_passes_at_one_instant_are_no_polling(loop: str) -> None:
    async def main() -> None:
        for _ in range(20_000):
            await anyio.sleep(0)

    virtually(loop, main)


@each_loop
def test_v8_many_tests_at_one_instant_are_no_polling(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 200)

    async def one_test() -> None:
        for _ in range(100):
            await anyio.sleep(0)

    async def main() -> None:
        for _ in range(10):
            await raising_deadlocks(one_test, loop)()

    virtually(loop, main)


@each_loop
def test_v8_a_task_may_poll_for_a_thread(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 2000)
    monkeypatch.setattr(_polling, "_ROUNDS", math.inf)

    async def main() -> None:
        wake, done = waker(), list[int]()

        def work() -> None:
            wait_for_passes(wake)
            for _ in range(100):
                time.sleep(0.001)  # many passes in real time
            wake(lambda: done.append(1))

        for thread in (work, functools.partial(time.sleep, 0.2)):
            del done[:]
            async with anyio.create_task_group() as group:
                group.start_soon(in_thread, thread, done)
                while not done:
                    await anyio.sleep(0)
        del done[:]
        started = threading.Thread(target=work)
        started.start()
        while not done:
            await anyio.sleep(0)
        started.join()

    virtually(loop, main)


async def in_thread(work: Callable[[], None], done: list[int]) -> None:
    await anyio.to_thread.run_sync(work)
    done.append(2)


@each_loop
def test_v8_a_task_may_poll_for_a_child(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 100)
    monkeypatch.setattr(_polling, "_ROUNDS", math.inf)

    async def main() -> None:
        done = list[int]()
        async with anyio.create_task_group() as group:
            group.start_soon(sleeps_for_real, done)
            while not done:
                await anyio.sleep(0)
        async with within.process("sleep", "0.1") as child:
            while child.returncode is None:
                await anyio.sleep(0)

    virtually(loop, main)


async def sleeps_for_real(done: list[int]) -> None:
    await within.run("sleep", "0.1")
    done.append(2)


@each_loop
def test_v8_a_conversation_at_one_instant_is_no_polling(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_polling, "MANY_PASSES", 100)

    async def main() -> None:
        here, there = socket.socketpair()
        with here, there:
            for _ in range(200):
                here.send(b"x")
                await anyio.wait_readable(there)
                there.recv(1)
                await anyio.to_thread.run_sync(int)

    virtually(loop, main)
