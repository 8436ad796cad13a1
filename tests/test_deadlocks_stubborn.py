"""In virtual time a deadlock is raised even if tasks resist being ended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from deadlock_programs import Main, deadlock, waits
from virtual_runs import LOOPS, each_loop, virtually

import within
from within.testing import Deadlock

pytestmark = pytest.mark.usefixtures("no_complaints")


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
    caplog.clear()  # here asyncio rightly logs "Task was destroyed but it is pending"


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

    # asyncio ends the loop at once if a task raises one of them.
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


async def in_a_circle(wait: Callable[[asyncio.Task[None]], Awaitable[None]]) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def waits_for(other: int) -> None:
        await asyncio.sleep(1)
        await tasks[other]

    tasks += [asyncio.create_task(waits_for(other)) for other in (1, 2, 0)]
    await wait(tasks[0])


@pytest.mark.parametrize(
    "wait", [asyncio.shield, asyncio.gather, asyncio.wait_for, None]
)
def test_v2_tasks_that_wait_for_one_another_in_a_circle_are_a_deadlock(
    wait: Any,
) -> None:
    async def main() -> None:
        if wait is asyncio.wait_for:
            await in_a_circle(lambda task: asyncio.wait_for(task, None))
        else:
            await in_a_circle(wait or (lambda task: task))

    report = deadlock("asyncio", main)
    assert report.startswith("deadlock at 1 s of virtual time")
    assert report.count("waits_for") == 3
