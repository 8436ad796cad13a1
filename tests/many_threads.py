"""Runs loops in many threads at once, with limits and children (T20).

It is meant for the free-threaded build, and runs on any other:
``PYTHON_GIL=0 python tests/many_threads.py [THREADS [LIMITS [CHILDREN]]]``. Each thread
runs that many limits and children, in turns on asyncio and on trio. Meanwhile one more
thread collects garbage. At the end no process, descriptor or thread may be left.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import anyio
import sniffio
import trio

import within

# How many loops each thread runs, one after another.
LOOPS = 4

TREE = "sleep 600 & echo $!; exec sleep 600"
TREES = ("group", "all")


def run_loop(kind: str, main: Callable[[], Any]) -> None:
    if kind == "trio":
        trio.run(main)
    else:
        asyncio.run(main())


def held_open(delay: float) -> Iterator[None]:
    """A generator that is dropped in its block: the collector closes it, in any thread."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with within.timeout(delay):
        yield


async def one_limit(number: int, made_elsewhere: SimpleQueue[within.Timeout]) -> None:
    """One of five kinds, by its number."""
    kind = number % 5
    if kind == 0:  # it strikes
        began = within.current_time()
        with within.move_on_after(0.001) as limit:
            await anyio.sleep(60)
        assert limit.cancelled_caught
        assert within.current_time() >= began + 0.001
    elif kind == 1:  # it does not
        with within.timeout(60) as limit:
            await anyio.sleep(0)
        assert not limit.expired
    elif kind == 2:  # the outer one strikes, behind a shield
        with within.move_on_after(0.001) as outer:
            with within.shield():
                await anyio.sleep(0.002)
            await anyio.sleep(60)
        assert outer.cancelled_caught
    elif kind == 3:  # made in another thread
        with made_elsewhere.get() as limit:
            limit.reschedule(within.current_time())
            await anyio.sleep(60)
        assert limit.cancelled_caught
    elif sniffio.current_async_library() != "trio":  # trio does not bear it
        # Dropped while it is open. The task ends, and the collector closes the block.
        dropped = held_open(60)
        cycle: list[Any] = [dropped]
        cycle.append(cycle)
        next(dropped)


async def one_child(number: int) -> None:
    if number % 2:
        done = await within.run("sh", "-c", f"echo {number}; exit 3", check=False)
        assert (done.returncode, done.stdout) == (3, b"%d\n" % number)
        return
    stop = within.Stop(tree=TREES[number // 2 % 2], die_with_parent=True)
    with within.move_on_after(60) as limit:
        async with within.process("sh", "-c", TREE, stop=stop) as child:
            other = int(await child.readline())
            limit.cancel()
            await anyio.sleep(60)
    assert limit.cancelled_caught
    assert child.returncode == -15
    for pid in (child.pid, other):
        assert not is_running(pid), f"{pid} is left"


def is_running(pid: int) -> bool:
    """Whether it is alive. A process that its own parent has not reaped yet is not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1] not in b"ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def work(
    limits: int, children: int, made_elsewhere: SimpleQueue[within.Timeout]
) -> None:
    async def several(numbers: range, one: Callable[[int], Any]) -> None:
        for number in numbers:
            # Each in a task of its own: one of the kinds leaves its block open.
            async with anyio.create_task_group() as alone:
                alone.start_soon(one, number)

    limit = partial(one_limit, made_elsewhere=made_elsewhere)
    async with anyio.create_task_group() as group:
        for start in range(10):
            group.start_soon(several, range(start, limits, 10), limit)
        for start in range(5):
            group.start_soon(several, range(start, children, 5), one_child)


def stress(threads: int, limits: int, children: int) -> list[BaseException]:
    """Run it, and return what went wrong."""
    problems: list[BaseException] = []
    made_elsewhere: SimpleQueue[within.Timeout] = SimpleQueue()
    over = threading.Event()
    start = threading.Barrier(threads)
    each = limits // LOOPS, children // LOOPS

    def loops(number: int) -> None:
        try:
            start.wait()
            for turn in range(LOOPS):
                kind = ("asyncio", "trio")[(number + turn) % 2]
                run_loop(kind, partial(work, *each, made_elsewhere))
        except BaseException as error:
            problems.append(error)

    def collect() -> None:
        while not over.wait(0.01):
            gc.collect()

    for _ in range(threads * limits):
        made_elsewhere.put(within.move_on_after(60))
    collector = threading.Thread(target=collect)
    workers = [threading.Thread(target=loops, args=(n,)) for n in range(threads)]
    for thread in (collector, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    collector.join()
    return problems


def main(words: list[str]) -> int:
    threads, limits, children = [*map(int, words), *(8, 2000, 50)[len(words) :]]
    stress(1, LOOPS * 5, LOOPS * 4)  # starts the guard, and loads what is loaded once
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    began = time.monotonic()
    problems = stress(threads, limits, children)
    took = time.monotonic() - began
    gc.collect()
    after = len(os.listdir("/proc/self/fd")), threading.active_count()
    gil: Any = getattr(sys, "_is_gil_enabled", lambda: True)
    print(
        f"Python {sys.version.split()[0]}, {'with' if gil() else 'without'} the GIL: "
        f"{threads} threads, {threads * limits} limits, {threads * children} children "
        f"in {took:.1f} s; descriptors and threads {before}, then {after}"
    )
    for problem in problems:
        print(f"WRONG: {problem!r}")
        sys.excepthook(type(problem), problem, problem.__traceback__)
    return 1 if problems or after != before else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
