"""`restart()`, and a block around each call of a function (T26)."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import within

pytestmark = pytest.mark.virtual_time

LIMIT = 2.0
NEVER = 3600.0


# -- restart() -----------------------------------------------------------------


async def test_t26_restart_counts_the_whole_delay_again() -> None:
    began = within.current_time()
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with within.timeout(LIMIT, name="silence") as silence:
            for _ in range(3):
                await anyio.sleep(0.75 * LIMIT)
                silence.restart()
                assert silence.remaining() == LIMIT
            await anyio.sleep(NEVER)
    assert within.current_time() == began + 3.25 * LIMIT
    assert str(raised.value) == (
        f"'silence' exceeded its limit of {LIMIT:g} s (ended 0 s late)"
    )


async def test_t26_restart_brings_back_a_limit_that_was_taken_away() -> None:
    with within.move_on_after(LIMIT) as limit:
        limit.reschedule(None)
        await anyio.sleep(2 * LIMIT)
        limit.restart()
        began = within.current_time()
        await anyio.sleep(NEVER)
    assert limit.cancelled_caught
    assert within.current_time() == began + LIMIT


async def test_t26_before_entry_restart_changes_nothing() -> None:
    limit = within.move_on_after(LIMIT)
    limit.restart()
    await anyio.sleep(LIMIT / 2)
    began = within.current_time()
    with limit:
        await anyio.sleep(NEVER)
    assert within.current_time() == began + LIMIT


async def test_t26_what_cannot_be_restarted_says_so() -> None:
    with within.move_on_at(within.current_time() + LIMIT) as limit:
        with pytest.raises(RuntimeError, match="no delay that could start again"):
            limit.restart()
        deadline = limit.deadline
    assert deadline == limit.deadline
    with within.move_on_after(0) as limit:
        with pytest.raises(RuntimeError, match="has already expired"):
            limit.restart()
        await anyio.sleep(NEVER)
    with pytest.raises(RuntimeError, match="has been left"):
        limit.restart()


# -- as a decorator ------------------------------------------------------------


@within.timeout(LIMIT)
async def sleep(seconds: float, *, answer: str = "slept") -> str:
    """Sleep, and answer."""
    await anyio.sleep(seconds)
    return answer


async def test_t26_each_call_of_a_function_has_its_own_block() -> None:
    for _ in range(3):
        assert await sleep(0.75 * LIMIT) == "slept"
    assert await sleep(0, answer="well") == "well"
    with pytest.raises(within.DeadlineExceeded, match="'sleep' exceeded") as raised:
        await sleep(NEVER)
    with pytest.raises(within.DeadlineExceeded) as again:
        await sleep(NEVER)
    assert raised.value.scope is not again.value.scope


async def test_t26_the_delay_counts_from_the_moment_that_a_call_begins() -> None:
    call = sleep(0.75 * LIMIT)
    await anyio.sleep(LIMIT)
    assert await call == "slept"


async def test_t26_calls_at_the_same_time_do_not_share_a_block() -> None:
    ended: list[float] = []

    async def call(after: float) -> None:
        await anyio.sleep(after)
        with pytest.raises(within.DeadlineExceeded):
            await sleep(NEVER)
        ended.append(within.current_time() - began)

    began = within.current_time()
    async with anyio.create_task_group() as tasks:
        for after in (0, 1):
            tasks.start_soon(call, after)
    assert ended == [LIMIT, LIMIT + 1]


async def test_t26_every_option_of_the_block_applies_to_each_call() -> None:
    deadline = within.current_time() + LIMIT

    @within.Timeout(deadline=deadline, quiet=True, shield=True, name="named")
    async def quiet() -> float:
        effective = within.current_effective_deadline()
        await anyio.sleep(0.75 * LIMIT)
        return effective

    with within.move_on_after(0):  # held off by the shield
        assert await quiet() == deadline
    assert await quiet() is None


async def test_t26_a_decorated_function_keeps_its_signature() -> None:
    assert inspect.iscoroutinefunction(sleep)
    assert sleep.__doc__ == "Sleep, and answer."
    assert list(inspect.signature(sleep).parameters) == ["seconds", "answer"]


async def test_t26_only_coroutine_functions_can_be_decorated() -> None:
    def plain() -> None: ...

    async def generator() -> AsyncIterator[int]:
        yield 1

    decorate: Any = within.timeout(LIMIT)
    with pytest.raises(TypeError, match="`with` or `async with` instead"):
        decorate(plain)
    with pytest.raises(
        TypeError,
        match=r"decorated, because it is an async generator.*\(PEP 789\)\. Put",
    ):
        decorate(generator)
    for kind in (classmethod, staticmethod):
        name = kind.__name__
        with pytest.raises(
            TypeError, match=f"it is a {name}. Put this decorator below @{name}"
        ):
            decorate(kind(sleep))
