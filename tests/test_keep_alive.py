"""T26: a keep-alive with `restart()`, as a property."""

from __future__ import annotations

import anyio
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
