"""Tests of the pipeline: any number of stages, and each may fail."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from pipeline import StageFailed, pipeline

import within
from within.testing import backends

pytestmark = pytest.mark.anyio


@pytest.fixture(params=backends(), ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("stages", [1, 2, 3, 10])
async def test_any_number_of_stages(stages: int) -> None:
    text = "grüße\n" * 20_000
    first = ["awk", 'BEGIN { for (n = 0; n < 20000; n++) print "grüße" }']
    assert await pipeline(first, *[["cat"]] * (stages - 1)) == text


async def test_the_last_stage_takes_what_it_wants_and_the_first_one_ends() -> None:
    with anyio.fail_after(60):
        assert await pipeline(["yes"], ["cat"], ["head", "-n", "2"]) == "y\ny\n"


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_the_stage_that_fails_is_named_wherever_it_is(place: int) -> None:
    commands = [["printf", "text"], ["cat"], ["cat"]]
    commands[place] = ["sh", "-c", "echo no ink >&2; exit 3"]
    with pytest.raises(StageFailed, match=r"`sh -c .*status 3: no ink$"):
        await pipeline(*commands)


async def test_a_stage_that_says_much_on_stderr_does_not_block() -> None:
    much = ["sh", "-c", "yes | head -n 100000 >&2; exec cat"]
    assert await pipeline(["printf", "text"], much, ["cat"]) == "text"


async def test_under_a_limit_all_stages_end() -> None:
    with within.move_on_after(0.1) as limit:
        await pipeline(["yes"], ["cat"], ["tail", "-n", "1"])
    assert limit.cancelled_caught
