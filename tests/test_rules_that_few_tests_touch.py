"""Examples of rules that mutations had broken unnoticed, in the corners."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys

import anyio
import pytest
from virtual_limits import LIMIT, NEVER, virtually

import within
from within._core import Block
from within._errors import interrupted_by, note_interrupted

both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def test_t6_an_older_foreign_cancellation_that_is_raised_again_wins() -> None:
    kept: list[asyncio.CancelledError] = []

    async def victim() -> None:
        with within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError as cancelled:
                kept.append(cancelled)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            assert within.current_time() == LIMIT
            raise kept.pop()

    async def main() -> None:
        task = asyncio.create_task(victim())
        await asyncio.sleep(LIMIT / 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    virtually(main)


def test_t17_a_task_inherits_nothing_from_one_that_ended_without_leaving() -> None:
    async def child() -> float:
        await asyncio.sleep(LIMIT)
        return within.current_effective_deadline()

    async def parent() -> asyncio.Task[float]:
        within.move_on_after(NEVER).__enter__()
        return asyncio.create_task(child())

    async def main() -> None:
        started = await asyncio.create_task(parent())
        assert await started == math.inf

    virtually(main)


def test_t21_a_library_that_is_marked_as_not_importable_is_not_loaded() -> None:
    program = """if True:
        import asyncio, sys
        sys.modules["trio"] = None
        import within
        async def main():
            with within.move_on_after(0.001) as limit:
                await asyncio.sleep(60)
            assert limit.cancelled_caught
        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def completed() -> within.Completed[bytes]:
    return within.Completed(["true"], 0, b"", b"", None)


def test_t25_what_was_interrupted_is_found_behind_another_exception() -> None:
    cancellation, behind, done = KeyboardInterrupt(), ValueError(), completed()
    note_interrupted(cancellation, done)
    behind.__context__ = cancellation
    assert interrupted_by(behind, Block()) is done


def test_t25_what_was_interrupted_is_found_in_a_group() -> None:
    cancellation, done = KeyboardInterrupt(), completed()
    note_interrupted(cancellation, done)
    inner = BaseExceptionGroup("", [ValueError(), cancellation])
    assert (
        interrupted_by(BaseExceptionGroup("", [ValueError(), inner]), Block()) is done
    )


def test_t22_t25_a_circular_chain_of_contexts_comes_to_an_end() -> None:
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert interrupted_by(one, Block()) is None


@both_loops
def test_t11_t26_a_deadline_that_was_moved_too_late_leaves_the_message_as_it_was(
    backend: str,
) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded, match="its limit of 1 s"):
            with within.timeout(LIMIT) as limit:
                try:
                    await anyio.sleep(NEVER)
                finally:
                    with pytest.raises(RuntimeError, match="has already expired"):
                        limit.reschedule(NEVER)

    virtually(main, backend)


@both_loops
def test_t14_t26_a_shield_can_be_a_decorator(backend: str) -> None:
    @within.shield(NEVER)
    async def clean_up() -> None:
        await anyio.sleep(2 * LIMIT)
        ended_at.append(within.current_time())

    async def main() -> None:
        with within.move_on_after(LIMIT):
            await clean_up()

    ended_at: list[float] = []
    virtually(main, backend)
    assert ended_at == [2 * LIMIT]
