"""T13 on trio: a block that is left wrongly is taken out, and all else goes on."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from virtual_limits import LIMIT, NEVER, virtually

import within


def next_deadline() -> float:
    """Seconds until the next deadline that trio knows of."""
    return trio.lowlevel.current_statistics().seconds_to_next_deadline


def test_t8_t13_out_of_order_on_trio_the_inner_block_goes_on() -> None:
    async def main() -> None:
        outer = within.move_on_after(LIMIT)
        outer.__enter__()
        with within.move_on_after(3 * LIMIT) as inner:
            with pytest.raises(RuntimeError, match="before a block that was entered"):
                outer.__exit__(None, None, None)
            assert next_deadline() == 3 * LIMIT
            await trio.sleep(NEVER)
        assert inner.cancelled_caught
        assert within.current_time() == 3 * LIMIT
        assert next_deadline() == math.inf

    virtually(main, "trio")


def test_t13_out_of_order_on_trio_what_is_around_reaches_the_inner_block() -> None:
    async def main() -> None:
        with within.move_on_after(2 * LIMIT) as around:
            outer = within.move_on_after(LIMIT)
            outer.__enter__()
            with within.move_on_after(NEVER):
                with pytest.raises(RuntimeError):
                    outer.__exit__(None, None, None)
                await trio.sleep(NEVER)
        assert around.cancelled_caught
        assert within.current_time() == 2 * LIMIT

    virtually(main, "trio")


def test_t13_in_another_task_on_trio_the_task_goes_on_without_the_block() -> None:
    async def main() -> None:
        limit = within.move_on_after(LIMIT)

        async def enter() -> None:
            limit.__enter__()
            try:
                await trio.sleep_forever()  # sleep() would be in a scope of its own
            finally:
                ended_at.append(within.current_time())

        ended_at: list[float] = []
        with within.move_on_after(2 * LIMIT) as around:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enter)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(RuntimeError, match="in another task"):
                    limit.__exit__(None, None, None)
        assert around.cancelled_caught
        assert ended_at == [2 * LIMIT]

    virtually(main, "trio")


def test_t13_a_child_task_on_trio_cannot_leave_the_block_of_its_parent() -> None:
    async def main() -> None:
        limit = within.move_on_after(LIMIT)

        async def leave() -> None:
            with pytest.raises(RuntimeError, match="in another task"):
                limit.__exit__(None, None, None)

        limit.__enter__()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
        await trio.sleep(2 * LIMIT)

    virtually(main, "trio")


def test_t13_on_trio_a_generator_that_another_task_closes_is_nobodys_mistake() -> None:
    async def numbers() -> AsyncIterator[int]:
        with within.move_on_after(LIMIT):
            yield 1

    async def main() -> None:
        generator: Any = numbers()

        async def begin() -> None:
            await anext(generator)
            await trio.sleep(2 * LIMIT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
            await trio.testing.wait_all_tasks_blocked()
            await generator.aclose()
        assert within.current_time() == 2 * LIMIT

    virtually(main, "trio")


def test_t2_t9_on_trio_a_block_that_leaves_the_rest_of_a_group_has_expired() -> None:
    async def main() -> None:
        limit = within.move_on_after(LIMIT)
        with pytest.raises(ExceptionGroup) as raised, limit:
            try:
                await trio.sleep(NEVER)
            except trio.Cancelled as cancelled:
                raise BaseExceptionGroup("", [cancelled, ValueError()]) from None
        assert raised.group_contains(ValueError)
        assert limit.expired

    virtually(main, "trio")
