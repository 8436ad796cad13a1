"""Every program of nested blocks runs as the reference says, on every loop."""

from __future__ import annotations

from typing import Any

import programs
import pytest
from hypothesis import example, given, reject
from programs import Block, Cancel, Finally, Sleep

import within.testing

# Two blocks expire before the task suspends: on asyncio it is cancelled once, for
# both, and not for the other one when a shield in its clean-up is lowered.
BOTH_IN_ONE_GO = (
    Block(
        None,
        quiet=False,
        shield=False,
        body=(
            Block(
                None,
                quiet=False,
                shield=False,
                body=(
                    Cancel(1),
                    Finally(
                        (Finally((Cancel(0), Sleep(0.0)), 1.0, shielded=True),),
                        1.0,
                        shielded=False,
                    ),
                ),
            ),
        ),
    ),
)


# On trio a block is level-triggered whatever was asked for (T16).
@pytest.mark.parametrize(
    ("backend", "level"), [("asyncio", False), ("asyncio", True), ("trio", True)]
)
@example(program=BOTH_IN_ONE_GO)
@given(program=programs.programs)
def test_t1_t2_t3_t5_t7_t11_t12_t14_t16_a_program_runs_as_the_reference_says(
    backend: str, level: bool, program: tuple[Any, ...]
) -> None:
    try:
        expected = programs.expected(program, level=level)
    except programs.Tie:
        reject()

    async def main() -> list[Any]:
        return await programs.actual(program, level=level)

    actual = within.testing.run(main, backend=backend, virtual_time=True)
    assert actual == expected
