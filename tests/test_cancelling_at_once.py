"""The conditions under which a task is cancelled at once, without a pursuit."""

from __future__ import annotations

import asyncio
from typing import Any

from virtual_limits import LIMIT, NEVER, this_task, virtually

import within


def test_t7_t14_a_block_around_a_shield_does_not_cancel_its_clean_up_again() -> None:
    async def main() -> None:
        with within.move_on_after(2 * LIMIT) as outer:
            with within.shield(LIMIT) as grace:
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError:
                    this_task().uncancel()
                await asyncio.sleep(2 * LIMIT)
            assert grace.expired
            assert within.current_time() == 3 * LIMIT
            await asyncio.sleep(NEVER)
        assert outer.cancelled_caught
        assert within.current_time() == 3 * LIMIT

    virtually(main)


def test_t7_t10_of_two_blocks_that_expire_together_the_outer_one_is_named() -> None:
    async def main() -> None:
        says = []
        with within.Timeout(LIMIT, quiet=True, name="outer") as outer:
            with within.Timeout(LIMIT, quiet=True, name="inner"):
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError as error:
                    says += error.args
                    raise
        assert outer.cancelled_caught
        assert [name for name in ("outer", "inner") if name in says[0]] == ["outer"]

    virtually(main)


def test_t22_a_task_whose_cancel_raises_does_not_keep_the_limit_off() -> None:
    class Task(asyncio.Task[Any]):
        def cancel(self, msg: Any = None) -> bool:
            raise ValueError(msg)

    async def works() -> bool:
        with within.move_on_after(LIMIT) as limit:
            await asyncio.sleep(2 * LIMIT)
        return limit.cancelled_caught

    async def main() -> None:
        loop = asyncio.get_running_loop()
        raised: list[Any] = []
        loop.set_exception_handler(lambda _, what: raised.append(what["exception"]))
        assert await Task(works(), loop=loop)
        assert [type(error) for error in raised] == [ValueError]

    virtually(main)
