"""T13: misuse is a ``RuntimeError`` that says what is wrong, and harms nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t13_entering_twice_is_an_error() -> None:
    limit = within.timeout(30)
    with limit:
        with pytest.raises(RuntimeError, match="already been entered"):
            limit.__enter__()
    with pytest.raises(RuntimeError, match="already been entered"):
        limit.__enter__()


async def test_t13_leaving_a_block_that_is_not_open_is_an_error() -> None:
    limit = within.timeout(30)
    with pytest.raises(RuntimeError, match="not open"):
        limit.__exit__(None, None, None)
    with limit:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        limit.__exit__(None, None, None)


async def test_t13_leaving_out_of_order_is_an_error(ticks: Ticks) -> None:
    outer, inner = within.timeout(ticks.long), within.timeout(ticks.long)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    await anyio.lowlevel.checkpoint()


async def test_t13_an_exception_is_not_replaced_by_the_complaint_about_the_order(
    ticks: Ticks,
) -> None:
    outer, inner = within.timeout(ticks.long), within.timeout(ticks.long)
    outer.__enter__()
    inner.__enter__()
    error = ValueError()
    assert not outer.__exit__(ValueError, error, None)
    assert not inner.__exit__(ValueError, error, None)
    await anyio.lowlevel.checkpoint()


async def test_t13_leaving_in_another_task_is_an_error(ticks: Ticks) -> None:
    limit = within.timeout(ticks.long)
    left: list[str] = []

    async def leave() -> None:
        with pytest.raises(RuntimeError) as raised:
            limit.__exit__(None, None, None)
        left.append(str(raised.value))

    async def enter() -> None:
        limit.__enter__()
        await done.wait()

    done = anyio.Event()
    # trio itself complains when the task ends.
    with contextlib.suppress(RuntimeError, ExceptionGroup):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(leave)
            await anyio.wait_all_tasks_blocked()
            done.set()
    assert len(left) == 1


# -- on asyncio ---------------------------------------------------------------


def test_t13_without_a_running_loop_the_error_says_so() -> None:
    with pytest.raises(RuntimeError, match="no event loop is running"):
        within.timeout(1).__enter__()
    with pytest.raises(RuntimeError, match="no event loop is running"):
        within.current_time()


def test_t13_outside_a_task_the_error_says_so(run_asyncio: Run) -> None:
    async def main() -> None:
        def callback() -> None:
            try:
                within.timeout(1).__enter__()
            except RuntimeError as error:
                said.set_result(str(error))

        said = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(callback)
        assert "outside a task" in await said

    run_asyncio(main())


def test_t13_after_leaving_out_of_order_no_block_is_left_open(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        outer, middle, inner = (within.timeout(NEVER) for _ in range(3))
        for limit in (outer, middle, inner):
            limit.__enter__()
        with pytest.raises(RuntimeError, match="before a block that was entered"):
            middle.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="before a block that was entered"):
            outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        assert within.current_effective_deadline() == math.inf

    run_asyncio(main())


def test_t13_shields_left_out_of_order_are_an_error(run_asyncio: Run) -> None:
    async def main() -> None:
        with anyio.CancelScope():
            outer, inner = within.shield(), within.shield()
            outer.__enter__()
            inner.__enter__()
            with pytest.raises(RuntimeError, match="before a block that was entered"):
                outer.__exit__(None, None, None)
            inner.__exit__(None, None, None)

    run_asyncio(main())


def test_t13_a_block_left_in_another_task_cancels_no_task(run_asyncio: Run) -> None:
    async def main() -> None:
        limit = within.timeout(NEVER)

        async def enter() -> str:
            limit.__enter__()
            await asyncio.sleep(0)
            await asyncio.sleep(3 * SHORT)
            return "undisturbed"

        child = asyncio.create_task(enter())
        await asyncio.sleep(0)
        limit.reschedule(
            within.current_time() + SHORT
        )  # it cannot pass before the exit
        with pytest.raises(RuntimeError, match="in another task"):
            limit.__exit__(None, None, None)
        assert await child == "undisturbed"
        assert child.cancelling() == 0

    run_asyncio(main())


def test_t13_a_block_in_a_dropped_generator_is_no_error(run_asyncio: Run) -> None:
    async def main() -> None:
        async def numbers() -> Any:
            with within.timeout(NEVER):
                yield 1
                yield 2

        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run_asyncio(main())


def test_t13_a_shield_in_a_dropped_generator_no_longer_shields(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        async def numbers() -> Any:
            with within.shield():
                yield 1
                yield 2

        for surroundings in (contextlib.nullcontext(), anyio.CancelScope()):
            with surroundings, within.move_on_after(SHORT) as limit:
                async for _ in numbers():
                    break
                gc.collect()
                with anyio.move_on_after(60):
                    await asyncio.sleep(NEVER)
            assert limit.cancelled_caught

    run_asyncio(main())
