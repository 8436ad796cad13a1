"""Every program of nested blocks runs as the reference says, on every loop."""

from __future__ import annotations

from typing import Any

import programs
import pytest
from hypothesis import given, reject

import within.testing


# On trio a block is level-triggered whatever was asked for (T16).
@pytest.mark.parametrize(
    ("backend", "level"), [("asyncio", False), ("asyncio", True), ("trio", True)]
)
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
