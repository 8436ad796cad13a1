"""Virtual time stands still while a thread or a child works for the loop."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
import trio.testing
from anyio._backends._asyncio import WorkerThread
from virtual_runs import each_loop, virtually, wait_for_passes, waker

import within
from within import Stop
from within.testing import _threads, _trio_clock, virtual_clock

# -- still while a thread or a child is at work ------------------------------


async def own_pool(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def in_executor(work: Callable[[], Any]) -> Awaitable[Any]:
    return asyncio.get_running_loop().run_in_executor(None, work)


def anyio_own_limiter(work: Callable[[], Any]) -> Awaitable[Any]:
    limiter = anyio.CapacityLimiter(1)
    return anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)


def trio_own_limiter(work: Callable[[], Any]) -> Awaitable[Any]:
    limiter = trio.CapacityLimiter(1)
    return trio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)


anyio_thread = functools.partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
trio_thread = functools.partial(trio.to_thread.run_sync, abandon_on_cancel=True)

THREADS: list[tuple[str, Any]] = [
    ("asyncio", in_executor),
    ("asyncio", asyncio.to_thread),
    ("asyncio", anyio_thread),
    ("asyncio", anyio_own_limiter),
    ("trio", anyio_thread),
    ("trio", anyio_own_limiter),
    ("trio", trio_thread),
    ("trio", trio_own_limiter),
]


@pytest.mark.parametrize(("loop", "thread"), [*THREADS, ("asyncio", own_pool)])
def test_v2_no_time_passes_while_a_thread_is_at_work(loop: str, thread: Any) -> None:
    async def main() -> None:
        wake, clock = waker(), virtual_clock()

        def work() -> float:
            wait_for_passes(wake)
            return clock.now

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 1)
            assert await thread(work) == 0
        assert clock.now == 1

    virtually(loop, main)


@pytest.mark.parametrize(("loop", "thread"), THREADS)
def test_v2_no_time_passes_while_an_abandoned_thread_is_at_work(
    loop: str, thread: Any
) -> None:
    async def main() -> None:
        wake, clock, seen = waker(), virtual_clock(), list[float]()
        abandoned = threading.Event()

        def work() -> None:
            wake(scope.cancel)
            abandoned.wait()
            wait_for_passes(wake)
            seen.append(clock.now)

        with anyio.CancelScope() as scope:
            await thread(work)
        assert scope.cancelled_caught
        abandoned.set()
        await anyio.sleep(1)
        assert seen == [0]

    virtually(loop, main)


@pytest.mark.parametrize(("loop", "thread"), THREADS)
def test_v2_no_time_passes_between_the_end_of_a_thread_and_its_result(
    loop: str, thread: Any
) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 1)
            for _ in range(200):
                await thread(int)
            assert virtual_clock().now == 0

    virtually(loop, main)


@each_loop
def test_v2_the_clock_moves_again_after_each_of_many_threads(loop: str) -> None:
    async def main() -> float:
        for _ in range(300):  # some still look busy after they have woken the loop
            await anyio.to_thread.run_sync(int)
            await anyio.sleep(1)
        return virtual_clock().now

    assert virtually(loop, main) == 300


@each_loop
def test_v2_a_task_that_waits_for_a_limiter_has_no_thread_at_work(loop: str) -> None:
    async def main() -> float:
        limiter = anyio.CapacityLimiter(1)

        async def hold() -> None:
            async with limiter:
                began.set()
                await anyio.sleep(5)

        began = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await began.wait()
            await anyio.to_thread.run_sync(int, limiter=limiter)
        return virtual_clock().now

    assert virtually(loop, main) == 5


def test_v2_closing_the_loop_waits_for_its_threads_in_real_time() -> None:
    release = threading.Event()

    async def main() -> asyncio.AbstractEventLoop:
        wake, began = waker(), asyncio.Event()

        def work() -> None:
            wake(began.set)
            release.wait()

        task = asyncio.create_task(asyncio.to_thread(work))
        await began.wait()
        task.cancel()
        asyncio.get_running_loop().call_later(0, closing.start)
        return asyncio.get_running_loop()

    closing = threading.Thread(target=lambda: release.set())
    assert virtually("asyncio", main).time() == 0  # not the 300 s of asyncio's limit
    closing.join()


@each_loop
def test_v2_no_time_passes_while_a_child_is_waited_for(loop: str) -> None:
    async def main() -> None:
        wake, clock, seen = waker(), virtual_clock(), list[float]()
        stdin, hold = os.pipe()

        def end_the_child() -> None:
            wait_for_passes(wake)
            seen.append(clock.now)
            os.close(hold)

        thread = threading.Thread(target=end_the_child)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 1)
            thread.start()
            await within.run("cat", stdin=stdin)
            assert clock.now == 0
        os.close(stdin)
        thread.join()
        assert seen == [0]

    virtually(loop, main)


@each_loop
@pytest.mark.parametrize("stubborn", ["the child", "its group"])
def test_v2_p4_grace_is_in_real_time(loop: str, stubborn: str) -> None:
    # These ignore the signal, and so they hold the clock still until they are killed.
    deaf = "trap '' TERM; (echo; exec sleep 600) &"
    script = deaf + (" wait; wait" if stubborn == "the child" else " sleep 600")
    grace = 0.1

    async def main() -> None:
        began = time.monotonic()
        async with within.process("sh", "-c", script, stop=Stop(grace=grace)) as child:
            async for _ in child:
                break
            if stubborn != "the child":
                child.kill()
        assert child.returncode == -signal.SIGKILL
        assert time.monotonic() - began >= grace
        assert virtual_clock().now == 0
        assert "within-alarm" not in [thread.name for thread in threading.enumerate()]

    virtually(loop, main)


@each_loop
def test_v2_p4_grace_may_be_infinite(loop: str) -> None:
    async def main() -> int | None:
        stop = Stop(grace=math.inf)
        async with within.process("sleep", "600", stop=stop) as child:
            pass
        return child.returncode

    assert virtually(loop, main) == -signal.SIGTERM


@each_loop
def test_v2_a_ready_descriptor_comes_before_a_deadline(loop: str) -> None:
    async def main() -> float:
        here, there = socket.socketpair()
        with here, there, within.timeout(1):
            here.send(b"x")
            await anyio.wait_readable(there)
        return virtual_clock().now

    assert virtually(loop, main) == 0


@pytest.mark.parametrize("cushion", [0, 0.001, 0.05])
def test_v2_wait_all_tasks_blocked_ends_before_time_passes(cushion: float) -> None:
    async def main() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            await trio.testing.wait_all_tasks_blocked(cushion)
            return virtual_clock().now

    assert virtually("trio", main) == 0


# -- no deadlock while something may still wake a task -----------------------------------


@each_loop
def test_v2_the_loop_waits_for_a_thread_that_may_wake_it(loop: str) -> None:
    async def main() -> None:
        wake, woken = waker(), anyio.Event()

        def later() -> None:
            wait_for_passes(wake)
            wake(woken.set)

        for _ in range(20):
            woken = anyio.Event()
            thread = threading.Thread(target=later)
            thread.start()
            await woken.wait()
            thread.join()

    virtually(loop, main)


def test_v2_the_loop_waits_for_an_older_pool_that_is_at_work() -> None:
    async def main(pool: ThreadPoolExecutor) -> None:
        await asyncio.wrap_future(pool.submit(wait_for_passes, waker()))
        for _ in range(1000):  # the thread has often not seen the work yet
            await asyncio.wrap_future(pool.submit(int))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        virtually("asyncio", functools.partial(main, pool))


@each_loop
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_v2_the_loop_waits_for_a_signal_that_a_task_expects(
    loop: str, number: signal.Signals
) -> None:
    async def main() -> None:
        with anyio.open_signal_receiver(number) as signals:
            with subprocess.Popen(["sh", "-c", f"kill -{number:d} $PPID"]):
                async for received in signals:
                    assert received == number
                    break

    virtually(loop, main)


def test_v2_trio_may_run_as_a_guest_in_virtual_time() -> None:
    async def main() -> float:
        ended = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            functools.partial(trio.sleep, 0.001),  # in real time
            run_sync_soon_threadsafe=waker(),
            done_callback=ended.set_result,
        )
        (await ended).unwrap()
        return within.current_time()

    assert virtually("asyncio", main) == 0


# -- private names of other packages on which we rely ----------------------------------


def test_v2_private_names_of_trio_have_not_moved() -> None:
    async def main() -> None:
        context: Any = trio._core._run.GLOBAL_RUN_CONTEXT
        assert not context.runner.waiting_for_idle
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.testing.wait_all_tasks_blocked, 0.001)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            assert context.runner.waiting_for_idle
        task: Any = trio.lowlevel.current_task()
        with trio.CancelScope() as scope:
            with trio.CancelScope() as inner:
                assert task._cancel_status._scope is inner
                assert task._cancel_status._parent._scope is scope

    virtually("trio", main)
    assert _trio_clock._active_thread_count is not None
    assert _trio_clock._worker is not None


def test_v2_private_names_of_anyio_and_of_pools_have_not_moved() -> None:
    async def main() -> None:
        await anyio.to_thread.run_sync(int)
        loop, threads = asyncio.get_running_loop(), threading.enumerate()
        workers = [x for x in threads if isinstance(x, WorkerThread)]
        (worker,) = (x for x in workers if x.loop is loop)  # others may be ending
        assert worker.queue.unfinished_tasks in (0, 1)

    virtually("asyncio", main)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        (thread,) = pool._threads
        assert isinstance(thread, threading.Thread)
        assert thread in _threads._queues
        assert _threads._worker is not None
