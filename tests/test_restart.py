"""T26: a keep-alive with `restart()`, and a block around each call of a function."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st
from virtual_runs import each_loop, virtually

import within

LIMIT = 8.0
NEVER = 3600.0


@each_loop
@given(naps=st.lists(st.integers(1, 12), max_size=6))
def test_t26_the_block_ends_after_the_first_silence_that_is_too_long(
    loop: str, naps: list[int]
) -> None:
    async def main() -> tuple[float, bool]:
        with within.move_on_after(LIMIT) as silence:
            for nap in naps:
                await anyio.sleep(nap - 0.5)  # never just as the deadline does
                silence.restart()
                assert silence.remaining() == LIMIT
            await anyio.sleep(NEVER)
        return within.current_time(), silence.cancelled_caught

    expected = 0.0
    for nap in naps:
        if nap - 0.5 > LIMIT:
            break
        expected += nap - 0.5
    assert virtually(loop, main) == (expected + LIMIT, True)


@each_loop
def test_t26_the_message_goes_on_naming_the_limit(loop: str) -> None:
    async def main() -> None:
        with within.timeout(LIMIT, name="silence") as limit:
            limit.reschedule(within.current_time() + 1)
            limit.restart()
            await anyio.sleep(LIMIT / 2)
            limit.restart()
            await anyio.sleep(NEVER)

    with pytest.raises(within.DeadlineExceeded, match="exceeded its limit of 8 s"):
        virtually(loop, main)


@each_loop
def test_t26_before_entry_the_delay_counts_from_entry(loop: str) -> None:
    async def main() -> float | None:
        limit = within.timeout(LIMIT)
        limit.restart()
        await anyio.sleep(1)
        with limit:
            return limit.deadline

    assert virtually(loop, main) == 1 + LIMIT


@each_loop
def test_t26_a_delay_of_none_stays_none_and_a_deadline_has_no_delay(loop: str) -> None:
    async def main() -> None:
        with (
            within.timeout_at(math.inf) as fixed,
            pytest.raises(RuntimeError, match="was given no delay"),
        ):
            fixed.restart()
        with within.timeout(LIMIT) as limit:
            limit.cancel()
            with pytest.raises(RuntimeError, match="has expired already"):
                limit.restart()
            with pytest.raises(within.DeadlineExceeded):
                raise within.DeadlineExceeded("for the sake of the block", limit)
        with pytest.raises(RuntimeError, match="has been left"):
            limit.restart()

    virtually(loop, main)


@each_loop
def test_t26_each_call_of_a_decorated_function_has_a_block_of_its_own(
    loop: str,
) -> None:
    @within.timeout(LIMIT)
    async def nap(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    async def too_long() -> None:
        with pytest.raises(within.DeadlineExceeded, match=r"nap' exceeded its limit"):
            await nap(LIMIT + 1)

    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(too_long)
            await anyio.sleep(1)
            tasks.start_soon(too_long)
            assert await nap(LIMIT - 1) == LIMIT - 1
        return within.current_time()

    assert virtually(loop, main) == 1 + LIMIT
    assert nap.__name__ == "nap"


@each_loop
def test_t26_a_quiet_block_makes_the_call_return_none(loop: str) -> None:
    class Service:
        @within.move_on_after(LIMIT, name="shut down")
        async def stop(self) -> str:
            await anyio.sleep(NEVER)
            return "stopped"

    async def main() -> str | None:
        return await Service().stop()

    assert virtually(loop, main) is None


async def generator() -> AsyncIterator[int]:
    yield 1


def plain() -> Coroutine[Any, Any, None]:
    return anyio.sleep(1)


@pytest.mark.parametrize(
    ("function", "way_out"),
    [(generator, "PEP 789"), (plain, "enter the block with"), (5, "enter the block")],
)
def test_t26_what_is_no_coroutine_function_is_refused(
    function: Any, way_out: str
) -> None:
    with pytest.raises(TypeError, match=way_out):
        within.timeout(LIMIT)(function)
