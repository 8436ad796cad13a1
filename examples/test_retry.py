"""Tests of the retry, on asyncio and trio in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import anyio
import pytest
from hypothesis import given, settings, strategies as st
from retry import Policy, retry

import within
from within.testing import VirtualClock

pytestmark = pytest.mark.virtual_time


class Broken(OSError):
    """The error of a failed attempt."""


@dataclass(frozen=True)
class Attempt:
    seconds: float
    succeeds: bool


# Limits are odd multiples of 1/128, and durations are multiples of 1/64. So no attempt
# ends exactly at its limit, where the result would depend on the loop.
durations = st.integers(0, 64 * 64).map(lambda n: n / 64)
limits = st.none() | st.integers(0, 64 * 64).map(lambda n: (2 * n + 1) / 128)
scripts = st.lists(st.builds(Attempt, durations, st.booleans()), min_size=8, max_size=8)
policies = st.builds(
    Policy,
    attempts=st.integers(1, 8),
    attempt_limit=limits,
    overall_limit=limits,
    base=st.sampled_from([1 / 64, 0.5, 8]),
    cap=st.sampled_from([1 / 64, 1, 100]),
)


def player(
    script: list[Attempt], starts: list[float], ends: list[float]
) -> Callable[[], Awaitable[str]]:
    """Make an operation that follows the script and records its starts and ends."""
    attempts = iter(script)

    async def operation() -> str:
        attempt = next(attempts)
        starts.append(within.current_time())
        try:
            await anyio.sleep(attempt.seconds)
        finally:
            ends.append(within.current_time())
        if not attempt.succeeds:
            raise Broken(f"after {attempt.seconds} s")
        return "success"

    return operation


async def outcome(awaitable: Awaitable[str]) -> str:
    try:
        return await awaitable
    except within.DeadlineExceeded as error:
        return str(error.scope.name)
    except Broken:
        return "broken"


def expected(
    policy: Policy, script: list[Attempt], now: float, random: Random
) -> tuple[str, list[float], float]:
    """Calculate the outcome, the start of each attempt, and the time of the end."""
    never = float("inf")
    overall = never if policy.overall_limit is None else now + policy.overall_limit
    starts = []
    for number, attempt in enumerate(script, 1):
        starts.append(now)
        limit = never if policy.attempt_limit is None else now + policy.attempt_limit
        ready = now + attempt.seconds
        now = min(overall, limit, ready)
        if now == overall:
            return "overall", starts, now
        if ready < limit and attempt.succeeds:
            return "success", starts, now
        if number == policy.attempts:
            return "broken" if ready < limit else f"attempt {number}", starts, now
        pause = random.uniform(0, min(policy.cap, policy.base * 2 ** (number - 1)))
        if pause >= overall - now:
            return "overall", starts, now
        now += pause
    raise AssertionError("the script should outlast the attempts")


@settings(deadline=None)
@given(policies, scripts, st.integers(0, 1000))
async def test_the_outcome_and_its_times_are_as_calculated(
    policy: Policy, script: list[Attempt], seed: int
) -> None:
    starts: list[float] = []
    wanted = expected(policy, script, within.current_time(), Random(seed))
    got = await outcome(retry(player(script, starts, []), policy, Random(seed)))
    assert (got, starts, within.current_time()) == wanted


@settings(deadline=None)
@given(policies, scripts, st.integers(0, 1000))
async def test_attempts_and_pauses_stay_within_their_limits(
    policy: Policy, script: list[Attempt], seed: int
) -> None:
    began = within.current_time()
    starts: list[float] = []
    ends: list[float] = []
    await outcome(retry(player(script, starts, ends), policy, Random(seed)))
    over = within.current_time()

    assert len(starts) == len(ends) <= policy.attempts
    assert over == ends[-1]  # no pause after the last attempt
    if policy.overall_limit is not None:
        assert over <= began + policy.overall_limit
    for start, end in zip(starts, ends, strict=True):
        assert policy.attempt_limit is None or end <= start + policy.attempt_limit
    pauses = [start - end for end, start in zip(ends, starts[1:], strict=False)]
    # The subtraction above rounds.
    assert all(-1e-9 <= pause <= policy.cap + 1e-9 for pause in pauses)
    assert sum(pauses) <= policy.base * (2 ** len(pauses) - 1) + 1e-9


async def test_a_day_of_retries(virtual_clock: VirtualClock) -> None:
    policy = Policy(attempts=500, overall_limit=86_400, cap=600)
    starts: list[float] = []
    script = [Attempt(5, succeeds=False)] * 500
    with pytest.raises(within.DeadlineExceeded, match="overall") as caught:
        await retry(player(script, starts, []), policy, Random(1))
    assert 86_400 - 605 < virtual_clock.now <= 86_400
    assert len(starts) > 86_400 / 605
    assert caught.value.__notes__ == [
        f"attempt {len(starts)} had failed: Broken('after 5 s')"
    ]


async def test_the_error_names_the_limit_that_was_exceeded_first() -> None:
    async def hang() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    for attempt_limit, overall_limit, name in (
        (2, 1, "overall"),
        (1, 1, "overall"),  # both at once: the outer one wins
        (1, 2, "attempt 1"),
        (None, 1, "overall"),
        (1, None, "attempt 1"),
    ):
        began = within.current_time()
        policy = Policy(
            attempts=1, attempt_limit=attempt_limit, overall_limit=overall_limit
        )
        assert await outcome(retry(hang, policy, Random(1))) == name
        assert within.current_time() == began + 1


async def test_an_operation_that_fails_when_cancelled_is_not_retried(
    virtual_clock: VirtualClock,
) -> None:
    async def operation() -> str:
        try:
            await anyio.sleep_forever()
        finally:
            raise Broken("failed to close")

    policy = Policy(attempt_limit=None, overall_limit=10, base=100, cap=100)
    assert await outcome(retry(operation, policy, Random(1))) == "overall"
    assert virtual_clock.now == 10


async def test_a_limit_of_the_caller_is_not_retried(
    virtual_clock: VirtualClock,
) -> None:
    script = [Attempt(99, succeeds=True)] * 5
    with pytest.raises(within.DeadlineExceeded) as caught:
        with within.timeout(15, name="the caller's"):
            await retry(player(script, [], []), Policy(), Random(1))
    assert caught.value.scope.name == "the caller's"
    assert virtual_clock.now == 15


async def test_other_errors_are_not_retried(virtual_clock: VirtualClock) -> None:
    async def operation() -> str:
        await anyio.sleep(1)
        raise LookupError

    with pytest.raises(LookupError):
        await retry(operation, Policy(), Random(1))
    assert virtual_clock.now == 1


@pytest.mark.parametrize("failed", [7, 100, 5_000])
def test_the_ceiling_is_capped_however_often_it_failed(failed: int) -> None:
    assert Policy(base=0.5, cap=30).ceiling(failed) == 30
