"""T5, T18: the arguments of a block, its two forms, and what it shows of itself."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks
from hypothesis import given, strategies as st
from timeout_runs import real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


@pytest.mark.parametrize(
    "seconds",
    [None, math.inf, 10**400, timedelta.max],
    ids=["none", "inf", "int", "delta"],
)
@pytest.mark.parametrize("way", [within.timeout, within.timeout_at, within.shield])
async def test_t5_none_and_infinity_never_fire(way: Any, seconds: Any) -> None:
    with way(seconds) as limit:
        await anyio.lowlevel.checkpoint()
    assert not limit.expired


@pytest.mark.parametrize("seconds", [0, -1, -0.0, -math.inf, timedelta(-1)])
@pytest.mark.parametrize("way", [within.move_on_after, within.move_on_at])
async def test_t5_zero_negative_and_past_fire_at_the_first_suspension(
    way: Any, seconds: Any, ticks: Ticks
) -> None:
    if ticks.virtual:
        await anyio.sleep(1)  # asyncio's virtual clock starts at 0
    reached = []
    with way(seconds) as limit:
        assert limit.expired
        reached.append("block")
        await anyio.lowlevel.checkpoint()
        reached.append("after the suspension")
    assert reached == ["block"]
    assert limit.cancelled_caught


async def test_t5_a_timedelta_counts_as_seconds() -> None:
    limit = within.timeout(timedelta(minutes=1, milliseconds=500))
    assert limit.remaining() == 60.5


@pytest.mark.parametrize("way", [within.timeout, within.move_on_at, within.shield])
@given(
    value=st.one_of(
        st.booleans(),
        st.text("0123456789.e+-infa "),
        st.binary(),
        st.decimals(),
        st.complex_numbers(),
        st.lists(st.floats()),
        st.dates(),
    )
)
def test_t5_other_types_are_type_errors_that_name_the_value(
    way: Any, value: Any
) -> None:
    with pytest.raises(TypeError) as raised:
        way(value)
    assert repr(value) in str(raised.value)


def test_t5_the_error_of_a_shield_names_its_argument() -> None:
    way: Any = within.shield
    with pytest.raises(TypeError, match=r"^grace is 'five'"):
        way("five")
    with pytest.raises(ValueError, match=r"^grace is NaN"):
        way(math.nan)


async def test_t5_nan_is_a_value_error() -> None:
    for way in (within.timeout, within.move_on_after, within.timeout_at, within.shield):
        with pytest.raises(ValueError, match="NaN"):
            way(math.nan)
    with within.timeout(1) as limit, pytest.raises(ValueError, match="NaN"):
        limit.reschedule(math.nan)


async def test_t5_delay_and_deadline_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="cannot be combined"):
        within.Timeout(1, deadline=1)


async def test_t5_a_delay_counts_from_entry(ticks: Ticks) -> None:
    limit = within.timeout(ticks.long)
    assert limit.deadline is None
    await anyio.sleep(ticks.short)
    before = within.current_time()
    with limit:
        assert limit.deadline is not None
        assert limit.deadline >= before + ticks.long
        assert 0 < limit.remaining() < ticks.long + ticks.short


async def test_t18_neither_form_suspends() -> None:
    order = []

    async def other() -> None:
        order.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        async with within.timeout(30):
            order.append("in")
        with within.timeout(30):
            order.append("in")
        order.append("out")
    assert order == ["in", "in", "out", "other"]


async def test_repr_shows_the_state() -> None:
    limit = within.timeout(2, name="nap", shield=True)
    assert repr(limit) == "<Timeout 'nap' created delay=2 shield>"
    assert limit.name == "nap"
    with limit:
        assert repr(limit).startswith("<Timeout 'nap' entered deadline=")
        limit.reschedule(None)
        assert repr(limit) == "<Timeout 'nap' entered shield>"
    assert repr(limit) == "<Timeout 'nap' exited shield>"


async def test_remaining_is_never_below_zero() -> None:
    assert within.timeout(-5).remaining() == 0.0
    with within.move_on_at(-5) as limit:
        assert limit.remaining() == 0.0
    assert limit.remaining() == 0.0
