"""Examples of rules that mutations had broken unnoticed."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import sys
import time
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from virtual_limits import LIMIT, NEVER, nothing_strikes, this_task, virtually

import within
from within.testing import run

# -- T5, T11 -----------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t11_a_deadline_that_the_loop_has_not_noticed_yet_can_be_moved(
    backend: str,
) -> None:
    async def main() -> None:
        with within.timeout(0.001) as limit:
            time.sleep(0.002)
            limit.reschedule(within.current_time() + NEVER)
            await anyio.lowlevel.checkpoint()
        assert not limit.expired

    run(main, backend=backend)


def test_t5_t11_on_trio_a_deadline_that_moves_into_the_past_has_struck() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(NEVER) as limit:
            limit.reschedule(within.current_time() - LIMIT)
            await trio.lowlevel.checkpoint_if_cancelled()
            reached.append("after the checkpoint")
        assert limit.cancelled_caught
        assert reached == []

    virtually(main, "trio")


# -- T8 ----------------------------------------------------------------------------


def test_t8_blocks_that_outlive_a_ring_do_not_make_the_heap_grow() -> None:
    async def main() -> None:
        with within.timeout(NEVER):
            for _ in range(300):
                with within.timeout(2 * NEVER), within.move_on_after(LIMIT / 1000):
                    await asyncio.sleep(NEVER)
        backend = asyncio.get_running_loop()._within_backend  # type: ignore[attr-defined]
        assert len(backend.alarm._heap) < 200

    virtually(main)


def test_t8_the_tasks_that_a_deadline_has_cancelled_are_not_kept() -> None:
    async def waits_for_a_task() -> weakref.ref[asyncio.Task[None]]:
        task = asyncio.create_task(asyncio.sleep(NEVER))
        with within.move_on_after(LIMIT) as limit:
            await task
        assert limit.cancelled_caught
        return weakref.ref(task)

    async def main() -> None:
        kept = await asyncio.create_task(waits_for_a_task())
        await asyncio.sleep(0)
        gc.collect()
        assert kept() is None

    virtually(main)


def test_t8_a_task_that_refuses_keeps_no_context_of_the_canceller() -> None:
    class Value:
        pass

    variable: contextvars.ContextVar[Value] = contextvars.ContextVar("variable")

    async def refuses(limit: within.Timeout) -> None:
        with limit:
            while not released.done():
                try:
                    await asyncio.shield(released)
                except asyncio.CancelledError:
                    pass

    async def cancels(limit: within.Timeout) -> weakref.ref[Value]:
        value = Value()
        variable.set(value)
        limit.cancel()
        return weakref.ref(value)

    async def main() -> None:
        limit = within.Timeout(level=True, quiet=True)
        task = asyncio.create_task(refuses(limit))
        await asyncio.sleep(0)
        kept = await asyncio.create_task(cancels(limit))
        await asyncio.sleep(LIMIT)
        gc.collect()
        assert kept() is None
        released.set_result(None)
        await task

    released: asyncio.Future[None]

    async def start() -> None:
        nonlocal released
        released = asyncio.get_running_loop().create_future()
        await main()

    virtually(start)


# -- T9 ----------------------------------------------------------------------------


def chain_of(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__context__
    return chain


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t9_the_rest_of_a_group_tells_of_the_deadline_and_not_of_the_group(
    backend: str,
) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            with within.timeout(LIMIT) as limit:
                try:
                    raise ExceptionGroup("two", [ValueError(), KeyError()])
                except* KeyError:
                    await anyio.sleep(NEVER)
        first, *chain = chain_of(raised.value)
        told = [e for e in chain if isinstance(e, within.DeadlineExceeded)]
        assert [error.scope for error in told] == [limit]
        cancelled = anyio.get_cancelled_exc_class()
        for error in [first, *chain]:
            if isinstance(error, BaseExceptionGroup):
                assert error.subgroup(cancelled) is None

    virtually(main, backend)


def test_t9_a_chain_of_contexts_may_be_circular() -> None:
    async def main() -> None:
        first, second, third = ValueError(1), ValueError(2), ValueError(3)
        first.__context__, second.__context__, third.__context__ = second, third, second
        with pytest.raises(ValueError, match="1") as raised:
            with within.timeout(NEVER) as limit:
                limit.cancel()
                raise first
        assert raised.value.__context__ is second

    virtually(main)


# -- T13 ---------------------------------------------------------------------------


def test_t13_a_generator_that_another_task_closes_is_nobodys_mistake() -> None:
    def generator() -> Iterator[None]:
        with within.timeout(LIMIT):
            yield

    async def main() -> None:
        suspended = generator()
        next(suspended)

        async def closes() -> None:
            suspended.close()  # type: ignore[attr-defined]

        await asyncio.create_task(closes())
        await nothing_strikes()

    virtually(main)


def test_t8_t13_a_block_that_was_left_wrongly_takes_its_cancellation_back() -> None:
    async def main() -> None:
        outer, inner = within.timeout(LIMIT), within.timeout(NEVER)
        outer.__enter__()
        inner.__enter__()
        with pytest.raises(asyncio.CancelledError) as raised:
            await asyncio.sleep(NEVER)
        assert this_task().cancelling() == 1
        outer.__exit__(raised.type, raised.value, None)
        assert this_task().cancelling() == 0
        inner.__exit__(raised.type, raised.value, None)
        await nothing_strikes()

    virtually(main)


# -- T24 ---------------------------------------------------------------------------


def test_t24_a_context_copied_into_another_loop_brings_no_deadline() -> None:
    async def elsewhere() -> list[float]:
        deadlines = [within.current_effective_deadline()]
        with within.timeout(None):
            deadlines.append(within.current_effective_deadline())
            child = asyncio.create_task(asks())
        return [*deadlines, await child]

    async def asks() -> float:
        return within.current_effective_deadline()

    async def main() -> None:
        with within.timeout(NEVER):
            found = await asyncio.to_thread(asyncio.run, elsewhere())
        assert found == [math.inf] * 3

    asyncio.run(main())


def test_t24_a_task_that_shares_a_context_does_not_inherit_its_blocks() -> None:
    async def first() -> None:
        with within.timeout(LIMIT):
            entered.set()
            await asked.wait()

    async def second() -> tuple[float, float]:
        await entered.wait()
        alone = within.current_effective_deadline()
        with within.timeout(None):
            inside = within.current_effective_deadline()
        asked.set()
        return alone, inside

    async def main() -> None:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Any]] = [
            loop.create_task(work(), context=context) for work in (first, second)
        ]
        _, found = await asyncio.gather(*tasks)
        assert found == (math.inf, math.inf)

    entered, asked = asyncio.Event(), asyncio.Event()
    if sys.version_info >= (3, 12):
        virtually(main)


# -- T2, T22: a task that runs a nested loop ---------------------------------------


def test_t2_t22_a_nested_loop_costs_few_passes_and_no_delay() -> None:
    """As nest_asyncio does it: passes of the loop while the task is on the stack."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        task = this_task()
        passes = 0
        with within.move_on_after(None) as limit:
            limit.cancel()
            while loop.time() < LIMIT and passes < 1000:
                asyncio._leave_task(loop, task)
                try:
                    loop._run_once()
                finally:
                    asyncio._enter_task(loop, task)
                passes += 1
            ended = loop.time()
            await asyncio.sleep(NEVER)
        assert passes < 200
        assert loop.time() - ended < LIMIT / 50

    virtually(main)


# -- T16: a task that reacts, but does not end ----------------------------------------


async def swallows(times: int) -> list[float]:
    """Swallow so many cancellations. Returns when they came."""
    came = []
    for _ in range(times):
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            came.append(within.current_time())
    return came


def test_t16_a_task_that_reacts_is_cancelled_again_within_a_second() -> None:
    async def main() -> None:
        with within.Timeout(LIMIT, level=True, quiet=True):
            came = await swallows(130)
        pauses = [after - before for before, after in pairwise(came)]
        assert max(pauses) == 1.0

    virtually(main)


def test_t16_a_task_that_refused_is_cancelled_when_its_waiter_is_done() -> None:
    async def main() -> None:
        with within.Timeout(LIMIT, level=True, quiet=True) as limit:
            last = (await swallows(130))[-1]
            await asyncio.sleep(0.1)
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        assert within.current_time() == pytest.approx(last + 0.1)

    virtually(main)
