"""T4, T6, T22: a deadline cancels the tasks that its own task waits for, too."""

from __future__ import annotations

import asyncio

import pytest
from virtual_limits import LIMIT, NEVER, this_task, virtually

import within


class Connection:
    """It keeps the error that ended it, and raises it again when it is closed."""

    error: BaseException | None = None

    async def read(self) -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError as error:
            self.error = error

    def close(self) -> None:
        assert self.error is not None
        raise self.error


def test_t6_a_passed_on_cancellation_that_was_kept_does_not_end_the_inner_limit() -> (
    None
):
    async def child() -> None:
        connection = Connection()
        with within.move_on_after(2 * LIMIT) as limit:
            limits.append(limit)
            await connection.read()
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError:
                connection.close()
        reached.append("after the block")

    async def main() -> None:
        with within.move_on_after(LIMIT) as outer:
            await asyncio.create_task(child())
        assert outer.cancelled_caught
        assert within.current_time() == 2 * LIMIT
        assert not limits[0].cancelled_caught
        assert reached == []

    limits: list[within.Timeout] = []
    reached: list[str] = []
    virtually(main)


def test_t22_a_passed_on_cancellation_that_was_swallowed_is_over() -> None:
    async def child() -> None:
        with within.timeout(3 * LIMIT) as outer:
            limits.append(outer)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            with within.move_on_after(LIMIT):
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    await asyncio.sleep(NEVER)

    async def main() -> None:
        with within.move_on_after(LIMIT):
            with pytest.raises(within.DeadlineExceeded) as raised:
                await asyncio.create_task(child())
            assert raised.value.scope is limits[0]
        assert within.current_time() == 3 * LIMIT

    limits: list[within.Timeout] = []
    virtually(main)


def test_t22_another_deadline_cancels_a_shared_task_after_a_swallowed_cancel() -> None:
    """What has ended the shared task is no cancellation of its second waiter."""

    async def first(shared: asyncio.Task[None]) -> None:
        with within.move_on_after(LIMIT):
            await shared

    async def second(shared: asyncio.Task[None]) -> None:
        with within.timeout(LIMIT):
            asyncio.get_running_loop().call_soon(this_task().cancel)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            await shared

    async def main() -> None:
        shared = asyncio.create_task(asyncio.sleep(NEVER))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(run(shared)) for run in (first, second)]
        await asyncio.wait(tasks)
        assert isinstance(tasks[1].exception(), within.DeadlineExceeded)

    virtually(main)


def test_t4_t6_our_cancellation_of_a_shared_task_is_known_by_its_message() -> None:
    """The second waiter's deadline has passed, and has not struck it yet."""

    async def first(shared: asyncio.Future[None]) -> None:
        with within.move_on_after(LIMIT):
            await shared

    async def second(shared: asyncio.Future[None]) -> None:
        with within.move_on_after(None) as limit:
            try:
                await shared
            except asyncio.CancelledError:
                limit.cancel()
                raise
        assert limit.cancelled_caught

    async def main() -> None:
        shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await asyncio.gather(first(shared), second(shared))

    virtually(main)
