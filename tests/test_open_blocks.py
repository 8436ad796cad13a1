"""Which blocks are open on asyncio, young and old, compared with a plain list."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, strategies as st
from timeout_runs import asyncio_backend

import within
from within.testing import run

ENTER, FIRE = "enter", "fire the alarm's timer"
# A number leaves the block that is this many places outside the innermost one.
leave_one = st.integers(0, 3)
steps = st.lists(st.sampled_from([ENTER, FIRE]) | leave_one, max_size=30)


@given(steps, steps)
def test_t8_t13_blocks_left_in_any_order_leave_nothing_behind(
    around: list[Any], inside: list[Any]
) -> None:
    async def main() -> None:
        await follow(around, child=asyncio.create_task(follow(inside)))
        open_blocks = asyncio_backend().open_blocks
        assert open_blocks.young == open_blocks.old == {}
        assert len(asyncio_backend().alarm) == 0

    run(main, virtual_time=True)


async def follow(steps: list[Any], child: asyncio.Task[None] | None = None) -> None:
    """Enter and leave blocks, and fire the alarm's timer.

    After each step, the loop makes a pass, in which the other task does its step.
    """
    stack: list[within.Timeout] = []
    # Blocks without a deadline become old as well.
    delays = [3600.0, None, 7200.0]
    with within.move_on_after(None):
        for number, step in enumerate([*steps, *[0] * len(steps)]):
            if step == ENTER:
                block = within.timeout(delays[number % 3], level=number % 2 == 0)
                stack.append(block.__enter__())
            elif step == FIRE:
                asyncio_backend().alarm._on_timer()
            elif stack:
                leave(stack, min(step, len(stack) - 1))
            task = asyncio.current_task()
            assert [*asyncio_backend().open_blocks.of(task)][:-1] == stack[::-1]
            deadlines = [block.deadline for block in stack if block.deadline]
            assert within.current_effective_deadline() == min(
                deadlines, default=float("inf")
            )
            await asyncio.sleep(0)
    if child is not None:
        await child


def leave(stack: list[within.Timeout], depth: int) -> None:
    block = stack.pop(-1 - depth)
    try:
        block.__exit__(None, None, None)
    except RuntimeError as error:
        assert "reverse order" in str(error)
        assert depth > 0
    else:
        assert depth == 0
