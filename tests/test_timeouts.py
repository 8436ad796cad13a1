"""The rules of timeouts, on every loop, in real and where there is one in virtual
time. The names of the tests carry the numbers of the rules.
"""

from __future__ import annotations

import contextlib
import gc
import math
import re
import time
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks, loop_name
from hypothesis import given, strategies as st

import within
from within.testing import backends

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[*backends(), *backends(virtual_time=True)],
    ids=lambda param: loop_name(param),
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


WAYS: list[Any] = [
    lambda seconds, **more: within.timeout(seconds, **more),
    lambda seconds, **more: within.timeout_at(within.current_time() + seconds, **more),
    lambda seconds, **more: within.Timeout(seconds, **more),
    lambda seconds, **more: within.Timeout(
        deadline=within.current_time() + seconds, **more
    ),
]
QUIET_WAYS: list[Any] = [
    lambda seconds, **more: within.move_on_after(seconds, **more),
    lambda seconds, **more: within.move_on_at(within.current_time() + seconds, **more),
    lambda seconds, **more: within.Timeout(seconds, quiet=True, **more),
    lambda seconds, **more: within.shield(seconds),
]


# -- T1, T2, T3: when --------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_t1_t2_a_block_that_takes_too_long_raises(way: Any, ticks: Ticks) -> None:
    began = within.current_time()
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with way(ticks.short) as limit:
            await anyio.sleep(ticks.long)
    assert raised.value.scope is limit
    assert (limit.expired, limit.cancelled_caught) == (True, True)
    assert limit.deadline is not None
    assert within.current_time() >= limit.deadline
    if ticks.virtual:
        assert within.current_time() == began + ticks.short


@pytest.mark.parametrize("way", QUIET_WAYS)
async def test_t1_t2_a_quiet_block_is_left_quietly(way: Any, ticks: Ticks) -> None:
    with way(ticks.short) as limit:
        await anyio.sleep(ticks.long)
    assert (limit.expired, limit.cancelled_caught) == (True, True)
    assert limit.deadline is not None
    assert within.current_time() >= limit.deadline


@pytest.mark.parametrize("way", [*WAYS, *QUIET_WAYS])
async def test_t3_a_block_that_ends_in_time_is_left_alone(
    way: Any, ticks: Ticks
) -> None:
    with way(ticks.long) as limit:
        await anyio.sleep(ticks.short)
    assert (limit.expired, limit.cancelled_caught) == (False, False)


async def test_t3_done_is_done_however_late() -> None:
    with within.timeout(0.1) as limit:
        time.sleep(0.11)
    await anyio.lowlevel.checkpoint()
    assert (limit.expired, limit.cancelled_caught) == (False, False)


async def test_t1_the_clock_is_the_running_loops_own(on_asyncio: bool) -> None:
    if on_asyncio:
        import asyncio

        ours, theirs = within.current_time(), asyncio.get_running_loop().time()
    else:
        import trio

        ours, theirs = within.current_time(), trio.current_time()
    assert abs(ours - theirs) < 1


# -- T4: results ------------------------------------------------------------


async def test_t4_a_result_that_came_in_the_tick_of_the_deadline_is_kept(
    ticks: Ticks,
) -> None:
    sender, receiver = anyio.create_memory_object_stream[int](1)
    got = []

    async def receive(limit: within.Timeout) -> None:
        with limit:
            got.append(await receiver.receive())
            await anyio.sleep(ticks.long)

    limit = within.move_on_after(ticks.never)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, limit)
        await anyio.wait_all_tasks_blocked()
        sender.send_nowait(1)
        limit.cancel()
    assert got == [1]
    assert limit.cancelled_caught
    sender.close()
    receiver.close()


# -- T5: arguments ----------------------------------------------------------


@pytest.mark.parametrize(
    "seconds",
    [None, math.inf, 10**400, timedelta.max],
    ids=["none", "inf", "int", "delta"],
)
@pytest.mark.parametrize("way", [within.timeout, within.timeout_at, within.shield])
async def test_t5_never_is_never(way: Any, seconds: Any) -> None:
    with way(seconds) as limit:
        await anyio.lowlevel.checkpoint()
    assert not limit.expired


@pytest.mark.parametrize("seconds", [0, -1, -0.0, -math.inf, timedelta(-1)])
@pytest.mark.parametrize("way", [within.move_on_after, within.move_on_at])
async def test_t5_what_has_passed_strikes_at_the_first_suspension(
    way: Any, seconds: Any, ticks: Ticks
) -> None:
    if ticks.virtual:
        await anyio.sleep(1)  # the clock of asyncio starts at 0
    reached = []
    with way(seconds) as limit:
        assert limit.expired
        reached.append("block")
        await anyio.lowlevel.checkpoint()
        reached.append("after the suspension")
    assert reached == ["block"]
    assert limit.cancelled_caught


async def test_t5_a_timedelta_is_its_seconds() -> None:
    limit = within.timeout(timedelta(minutes=1, milliseconds=500))
    assert limit.remaining() == 60.5


@pytest.mark.parametrize("way", [within.timeout, within.move_on_at, within.shield])
@given(
    value=st.one_of(
        st.booleans(),
        st.text(),
        st.binary(),
        st.decimals(),
        st.complex_numbers(),
        st.lists(st.floats()),
        st.dates(),
    )
)
async def test_t5_other_types_are_type_errors_that_name_the_value(
    way: Any, value: Any
) -> None:
    with pytest.raises(TypeError) as raised:
        way(value)
    assert repr(value) in str(raised.value)


async def test_t5_nan_is_a_value_error() -> None:
    for way in (within.timeout, within.move_on_after, within.timeout_at, within.shield):
        with pytest.raises(ValueError, match="NaN"):
            way(math.nan)
    with within.timeout(1) as limit, pytest.raises(ValueError, match="NaN"):
        limit.reschedule(math.nan)


async def test_t5_delay_and_deadline_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
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


# -- T6, T7: whose cancellation ---------------------------------------------


async def test_t6_an_enclosing_scope_of_the_loops_own_wins(ticks: Ticks) -> None:
    with anyio.CancelScope() as scope, within.timeout(ticks.never) as limit:
        scope.cancel()
        await anyio.sleep(ticks.long)
    assert scope.cancelled_caught
    assert not limit.cancelled_caught


@pytest.mark.parametrize("inner", [0, 1])
@pytest.mark.parametrize("outer", [0, 1])
async def test_t7_of_two_that_have_expired_the_outer_one_is_raised(
    inner: int, outer: int, ticks: Ticks
) -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with within.timeout(outer * ticks.short) as around:
            async with within.timeout(inner * ticks.short) as inside:
                with within.shield():
                    await ticks.pass_by()
                await anyio.sleep(ticks.long)
    assert raised.value.scope is around
    assert (inside.expired, inside.cancelled_caught) == (True, False)


async def test_t7_the_inner_one_alone_is_its_own(ticks: Ticks) -> None:
    async with within.timeout(ticks.long) as around:
        with pytest.raises(within.DeadlineExceeded) as raised:
            async with within.timeout(ticks.short) as inside:
                await anyio.sleep(ticks.long)
    assert raised.value.scope is inside
    assert not around.expired


# -- T8: residue ------------------------------------------------------------


async def test_t8_no_reference_cycle_remains(ticks: Ticks) -> None:
    class Canary:
        pass

    async def expire() -> None:
        canary = Canary()
        with within.timeout(ticks.long) as limit:
            limit.reschedule(within.current_time() + ticks.short)
            await anyio.sleep(ticks.long)
        del canary

    async def in_time() -> None:
        canary = Canary()
        with within.timeout(ticks.long):
            await anyio.lowlevel.checkpoint()
        del canary

    gc.collect()
    gc.disable()
    try:
        await in_time()
        with contextlib.suppress(TimeoutError):
            await expire()
        await (
            anyio.lowlevel.checkpoint()
        )  # the loop holds what it has just thrown into the task
        alive = [
            found
            for found in gc.get_objects()
            if isinstance(found, Canary | within.DeadlineExceeded)
        ]
    finally:
        gc.enable()
    assert alive == []


async def test_t8_the_next_await_runs_undisturbed(ticks: Ticks) -> None:
    for _ in range(3):
        with within.move_on_after(0):
            await anyio.sleep(ticks.long)
        await anyio.lowlevel.checkpoint()
        with within.move_on_after(ticks.short):
            pass
        await ticks.pass_by()


# -- T9: other exceptions -----------------------------------------------------


def chain(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__context__
    return found


async def test_t9_other_exceptions_pass_untouched(ticks: Ticks) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, within.timeout(ticks.long):
        raise error
    assert raised.value is error
    assert error.__context__ is None


async def test_t9_one_raised_while_unwinding_tells_of_the_deadline(
    ticks: Ticks,
) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        with within.timeout(ticks.short) as limit:
            try:
                await anyio.sleep(ticks.long)
            finally:
                1 / 0  # noqa: B018
    reasons = [
        error
        for error in chain(raised.value)
        if isinstance(error, within.DeadlineExceeded)
    ]
    assert [reason.scope for reason in reasons] == [limit]
    assert (limit.expired, limit.cancelled_caught) == (True, False)


async def test_t9_a_group_raised_while_unwinding_tells_too(ticks: Ticks) -> None:
    async def fail() -> None:
        try:
            await anyio.sleep(ticks.never)
        finally:
            raise KeyError("cleaning up")

    with pytest.raises(ExceptionGroup) as raised:
        with within.timeout(ticks.short) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail)
    assert raised.group_contains(KeyError)
    assert limit in [getattr(error, "scope", None) for error in chain(raised.value)]
    assert not limit.cancelled_caught


# -- T10: identity -------------------------------------------------------------


async def test_t10_the_error_says_which_block_how_long_and_how_late(
    ticks: Ticks,
) -> None:
    with pytest.raises(TimeoutError) as raised:
        with within.timeout(ticks.short, name="connect"):
            await anyio.sleep(ticks.long)
    assert type(raised.value) is within.DeadlineExceeded
    message = str(raised.value)
    assert message.startswith(f"'connect' exceeded its limit of {ticks.short:g} s")
    assert "late" in message


async def test_t10_one_timeout_is_told_from_another_and_from_a_sockets() -> None:
    with within.timeout(1) as unrelated:
        pass
    try:
        with within.timeout_at(-1) as mine:
            await anyio.lowlevel.checkpoint()
    except TimeoutError as error:
        assert getattr(error, "scope", None) is mine
        assert getattr(error, "scope", None) is not unrelated
        assert "deadline -1" in str(error)


async def test_t10_an_explicit_cancel_says_so() -> None:
    with pytest.raises(within.DeadlineExceeded) as early:
        with within.timeout(3000, name="mine") as limit:
            limit.cancel()
            await anyio.lowlevel.checkpoint()
    words = r"'mine' was ended by cancel\(\), (3e\+03|2.+) s before its deadline"
    assert re.fullmatch(words, str(early.value))
    with pytest.raises(within.DeadlineExceeded, match=r"ended by cancel\(\)$"):
        with within.timeout(None) as limit:
            limit.cancel()
            await anyio.lowlevel.checkpoint()


# -- T11, T12: changes of mind ----------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_t11_one_that_has_seen_another_ring_is_moved_for_good(loop: str) -> None:
    async def main() -> None:
        with within.timeout(10) as limit:
            with within.move_on_after(1):
                await anyio.sleep(5)
            limit.reschedule(100)
            with within.move_on_after(1):
                await anyio.sleep(5)
            await anyio.sleep(97)
            assert not limit.expired

    within.testing.run(main, backend=loop, virtual_time=True)


async def test_t11_a_keep_alive(ticks: Ticks) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.reschedule(within.current_time() + 2 * ticks.long)
        await ticks.pass_by()
        limit.deadline = None
        assert (limit.deadline, limit.remaining()) == (None, math.inf)
        await ticks.pass_by()
        limit.deadline = within.current_time() + ticks.short
        await anyio.sleep(ticks.long)
    assert limit.cancelled_caught


async def test_t11_by_another_task(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)

    async def hurry() -> None:
        limit.reschedule(within.current_time() + ticks.short)

    async with anyio.create_task_group() as tasks:
        with limit:
            tasks.start_soon(hurry)
            await anyio.sleep(ticks.long)
    assert limit.cancelled_caught


async def test_t11_before_entry_it_replaces_the_delay(ticks: Ticks) -> None:
    limit = within.move_on_after(0)
    limit.reschedule(within.current_time() + ticks.long)
    with limit:
        await anyio.sleep(ticks.short)
    assert not limit.expired


async def test_t11_too_late_is_a_runtime_error(ticks: Ticks) -> None:
    with within.move_on_after(0) as limit:
        with pytest.raises(RuntimeError, match="expired already"):
            limit.reschedule(None)
    with pytest.raises(RuntimeError, match="has been left"):
        limit.deadline = None
    with within.timeout(ticks.long) as limit:
        pass
    with pytest.raises(RuntimeError, match="has been left"):
        limit.reschedule(None)
    limit = within.timeout(ticks.long)
    limit.cancel()
    with pytest.raises(RuntimeError, match="expired already"):
        limit.reschedule(None)


async def test_t11_to_the_past_strikes_at_the_next_suspension(ticks: Ticks) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.reschedule(-1)
        await anyio.lowlevel.checkpoint()
        pytest.fail("it should have been cancelled")
    assert limit.cancelled_caught


async def test_t12_cancel_is_like_the_deadline(ticks: Ticks) -> None:
    reached = []
    with within.move_on_after(ticks.never) as limit:
        limit.cancel()
        reached.append(limit.expired)
        await anyio.lowlevel.checkpoint()
        reached.append("after the suspension")
    assert reached == [True]
    limit.cancel()  # after exit: nothing


async def test_t12_cancel_before_entry_counts_from_entry(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)
    limit.cancel()
    await anyio.lowlevel.checkpoint()
    with limit:
        await anyio.lowlevel.checkpoint()
        pytest.fail("it should have been cancelled")
    assert limit.cancelled_caught


async def test_t12_cancel_from_another_task(ticks: Ticks) -> None:
    limit = within.move_on_after(ticks.never)
    async with anyio.create_task_group() as tasks:
        with limit:
            tasks.start_soon(anyio.lowlevel.checkpoint)
            tasks.start_soon(_call, limit.cancel)
            await anyio.sleep(ticks.long)
    assert limit.cancelled_caught


async def _call(function: Any) -> None:
    function()


async def test_asking_whether_it_has_expired_makes_it_so(ticks: Ticks) -> None:
    with within.move_on_after(0.001) as limit:
        time.sleep(0.002)
        if not ticks.virtual:
            assert limit.expired
            await anyio.lowlevel.checkpoint()
            pytest.fail("it should have been cancelled")


# -- T13: misuse ------------------------------------------------------------


async def test_t13_entering_twice_is_an_error() -> None:
    limit = within.timeout(30)
    with limit:
        with pytest.raises(RuntimeError, match="entered before"):
            limit.__enter__()
    with pytest.raises(RuntimeError, match="entered before"):
        limit.__enter__()


async def test_t13_leaving_what_is_not_open_is_an_error() -> None:
    limit = within.timeout(30)
    with pytest.raises(RuntimeError, match="not open"):
        limit.__exit__(None, None, None)
    with limit:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        limit.__exit__(None, None, None)


async def test_t13_leaving_out_of_order_is_an_error(ticks: Ticks) -> None:
    outer, inner = within.timeout(ticks.long), within.timeout(ticks.long)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    await anyio.lowlevel.checkpoint()


async def test_t13_leaving_in_another_task_is_an_error(ticks: Ticks) -> None:
    limit = within.timeout(ticks.long)
    left: list[str] = []

    async def leave() -> None:
        with pytest.raises(RuntimeError) as raised:
            limit.__exit__(None, None, None)
        left.append(str(raised.value))

    async def enter() -> None:
        limit.__enter__()
        await done.wait()

    done = anyio.Event()
    with contextlib.suppress(RuntimeError, ExceptionGroup):  # trio minds at the end
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(leave)
            await anyio.wait_all_tasks_blocked()
            done.set()
    assert len(left) == 1


# -- T14: shields -----------------------------------------------------------


async def test_t14_an_enclosing_deadline_waits_for_the_shield(ticks: Ticks) -> None:
    reached = []
    with within.move_on_after(ticks.short) as limit:
        with within.shield() as shield:
            await ticks.pass_by()
            reached.append("in the shield")
        reached.append("after it")
        await anyio.lowlevel.checkpoint()
        reached.append("too far")
    assert reached == ["in the shield", "after it"]
    assert limit.cancelled_caught
    assert not shield.expired


async def test_t14_its_own_deadline_counts(ticks: Ticks) -> None:
    with within.move_on_after(0) as limit:
        with within.shield(ticks.short) as shield:
            await anyio.sleep(ticks.long)
        assert shield.cancelled_caught
        await anyio.lowlevel.checkpoint()
        pytest.fail("the outer one should have struck")
    assert limit.cancelled_caught


async def test_t14_it_holds_off_scopes_of_anyio(ticks: Ticks) -> None:
    reached = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        with within.timeout(ticks.long, shield=True):
            await anyio.sleep(ticks.short)
            reached.append("in the shield")
        await anyio.lowlevel.checkpoint()
        reached.append("too far")
    assert reached == ["in the shield"]


# -- T16: level -------------------------------------------------------------


async def test_t16_a_level_triggered_block_cannot_swallow(ticks: Ticks) -> None:
    swallowed = 0
    with within.move_on_after(ticks.short, level=True) as limit:
        for _ in range(3):
            try:
                await anyio.sleep(ticks.long)
            except anyio.get_cancelled_exc_class():
                swallowed += 1
        await anyio.sleep(ticks.long)
    assert swallowed == 3
    assert limit.cancelled_caught


async def test_t16_by_default_asyncio_cancels_once_and_trio_always(
    ticks: Ticks, on_asyncio: bool
) -> None:
    reached = []
    with within.move_on_after(0) as limit:
        try:
            await anyio.sleep(ticks.long)
        finally:
            await anyio.sleep(ticks.short)
            reached.append("cleaned up")
    assert reached == (["cleaned up"] if on_asyncio else [])
    assert limit.cancelled_caught


# -- T17: what is in force ----------------------------------------------------


async def test_t17_the_nearest_deadline_counts(ticks: Ticks) -> None:
    now = within.current_time()
    assert within.current_effective_deadline() == math.inf
    with within.timeout_at(now + 100):
        assert within.current_effective_deadline() == now + 100
        with within.timeout_at(now + 50):
            assert within.current_effective_deadline() == now + 50
            with within.timeout_at(now + 70):
                assert within.current_effective_deadline() == now + 50
                with within.shield():
                    assert within.current_effective_deadline() == math.inf
                    with within.timeout_at(now + 90):
                        assert within.current_effective_deadline() == now + 90
        assert within.current_effective_deadline() == now + 100
    assert within.current_effective_deadline() == math.inf


async def test_t17_minus_infinity_once_cancelled(ticks: Ticks) -> None:
    with within.move_on_after(ticks.long) as limit:
        limit.cancel()
        assert within.current_effective_deadline() == -math.inf
        with within.shield():
            assert within.current_effective_deadline() == math.inf


async def test_t17_scopes_of_anyio_count(ticks: Ticks) -> None:
    deadline = within.current_time() + ticks.long
    with anyio.CancelScope(deadline=deadline), within.timeout(ticks.never):
        assert within.current_effective_deadline() == deadline


async def test_t17_a_task_inherits_what_it_was_started_in(ticks: Ticks) -> None:
    seen: list[float] = []

    async def look() -> None:
        seen.append(within.current_effective_deadline())

    deadline = within.current_time() + ticks.long
    with within.timeout_at(deadline):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    assert seen == [deadline]


async def test_t17_shields_of_anyio_cut_off_children_too(ticks: Ticks) -> None:
    seen: list[float] = []

    async def look() -> None:
        seen.append(within.current_effective_deadline())

    with within.timeout(ticks.long), anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    with anyio.CancelScope(shield=True), within.timeout(ticks.long) as limit:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    assert seen == [math.inf, limit.deadline]


# -- T18, T19 ---------------------------------------------------------------


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


async def test_t19_child_tasks_go_with_the_block(ticks: Ticks) -> None:
    ended = []

    async def child(number: int) -> None:
        try:
            await anyio.sleep(ticks.never)
        finally:
            ended.append(number)

    with within.move_on_after(ticks.short) as limit:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(child, number)
    assert sorted(ended) == [0, 1, 2]
    assert limit.cancelled_caught


# -- words -------------------------------------------------------------------


async def test_repr_shows_the_state() -> None:
    limit = within.timeout(2, name="nap", shield=True)
    assert repr(limit) == "<Timeout 'nap' created delay=2 shield>"
    assert limit.name == "nap"
    with limit:
        assert repr(limit).startswith("<Timeout 'nap' entered deadline=")
        limit.reschedule(None)
        assert repr(limit) == "<Timeout 'nap' entered shield>"
    assert repr(limit) == "<Timeout 'nap' exited shield>"


async def test_remaining_never_falls_below_zero() -> None:
    assert within.timeout(-5).remaining() == 0.0
    with within.move_on_at(-5) as limit:
        assert limit.remaining() == 0.0
    assert limit.remaining() == 0.0
