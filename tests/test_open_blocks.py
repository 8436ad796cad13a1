"""Which blocks are open on asyncio, young and old, against a plain list."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, strategies as st

import within
from within.testing import run

ENTER, RING = "enter", "ring"
which = st.integers(0, 3)  # so many from the innermost, as far as there are any
steps = st.lists(st.sampled_from([ENTER, RING]) | which, max_size=30)


@given(steps, steps)
def test_t8_t13_blocks_are_left_in_any_order_and_nothing_stays(
    around: list[Any], inside: list[Any]
) -> None:
    async def main() -> None:
        await follow(around, child=asyncio.create_task(follow(inside)))
        assert backend().open_blocks.young == backend().open_blocks.old == {}
        assert len(backend().alarm) == 0

    run(main, virtual_time=True)


async def follow(steps: list[Any], child: asyncio.Task[None] | None = None) -> None:
    """Enter, leave and ring; a pass of the loop after each, in which another does."""
    stack: list[within.Timeout] = []
    # Some wait for ever, which must be put among the old as well.
    delays = [3600.0, None, 7200.0]
    with within.move_on_after(None):
        for number, step in enumerate([*steps, *[0] * len(steps)]):
            if step == ENTER:
                block = within.timeout(delays[number % 3], level=number % 2 == 0)
                stack.append(block.__enter__())
            elif step == RING:
                backend().alarm._on_timer()
            elif stack:
                leave(stack, min(step, len(stack) - 1))
            task = asyncio.current_task()
            assert [*backend().open_blocks.of(task)][:-1] == stack[::-1]
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


def backend() -> Any:
    return asyncio.get_running_loop()._within_backend  # type: ignore[attr-defined]
