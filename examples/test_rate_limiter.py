"""Tests of the token bucket, on asyncio and trio in virtual time."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st
from rate_limiter import TokenBucket

import within
from within.testing import VirtualClock

pytestmark = pytest.mark.virtual_time


@dataclass(frozen=True)
class Request:
    at: float
    patience: float
    ended_by: str  # what cancels it when its patience runs out


# The times are coarse, so that patience often ends just as the token arrives.
requests = st.builds(
    Request,
    at=st.integers(0, 16).map(lambda n: n / 4),
    patience=st.integers(1, 40).map(lambda n: n / 4) | st.just(math.inf),
    ended_by=st.sampled_from(["timeout", "anyio's scope", "another task"]),
)
# The reciprocals of these rates are exact.
rates = st.sampled_from([0.25, 0.5, 1, 2])
bursts = st.integers(1, 3)
limits = st.sampled_from([0.5, 3.0, math.inf])


class Desk:
    """Sends requests to a bucket and records the result of each."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.began = within.current_time()
        self.asked: list[Request] = []  # in the order of arrival
        self.granted: dict[int, float] = {}  # index in `asked` -> time
        self.left: dict[int, float] = {}

    def now(self) -> float:
        return within.current_time() - self.began

    async def send(self, request: Request) -> None:
        await anyio.sleep_until(self.began + request.at)
        index = len(self.asked)
        self.asked.append(request)
        if request.ended_by == "timeout":
            with within.move_on_after(request.patience):
                await self.acquire(index)
        elif request.ended_by == "anyio's scope":
            with anyio.move_on_after(request.patience):
                await self.acquire(index)
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(self.cancel, group.cancel_scope, request.patience)
                await self.acquire(index)
                group.cancel_scope.cancel()
        if index not in self.granted:
            self.left[index] = self.now()

    async def acquire(self, index: int) -> None:
        # The bucket's own max_wait may also end the request.
        with suppress(within.DeadlineExceeded):
            await self.bucket.acquire()
            self.granted[index] = self.now()

    @staticmethod
    async def cancel(scope: anyio.CancelScope, patience: float) -> None:
        await anyio.sleep(patience)
        scope.cancel()

    async def send_all(self, requests: list[Request]) -> None:
        async with anyio.create_task_group() as group:
            for request in requests:
                group.start_soon(self.send, request)


def check(desk: Desk, rate: float, burst: int, max_wait: float) -> None:
    """Check that each request was granted as early as possible, or left in time."""
    head_from = 0.0  # when the current request became the head of the queue
    full_at = -math.inf
    for index, request in enumerate(desk.asked):
        head_from = max(head_from, request.at)
        ready = max(head_from, full_at - (burst - 1) / rate)
        patience_ends = request.at + min(request.patience, max_wait)
        # If both happen at the same instant, either result is correct.
        if ready < patience_ends or (ready == patience_ends and index in desk.granted):
            assert desk.granted.pop(index) == ready
            full_at = max(full_at, ready) + 1 / rate
            head_from = ready
        else:
            assert desk.left.pop(index) == patience_ends
            head_from = max(head_from, min(ready, patience_ends))
    assert not desk.granted
    assert not desk.left


@settings(deadline=None)
@given(rates, bursts, limits, st.lists(requests, max_size=12))
async def test_no_token_is_lost_whichever_requests_are_cancelled(
    rate: float, burst: int, max_wait: float, requests: list[Request]
) -> None:
    desk = Desk(TokenBucket(rate, burst, max_wait=max_wait))
    await desk.send_all(requests)
    check(desk, rate, burst, max_wait)


@settings(deadline=None)
@given(rates, bursts, st.lists(requests, max_size=12))
async def test_every_window_keeps_the_rate_and_the_queue_keeps_its_order(
    rate: float, burst: int, requests: list[Request]
) -> None:
    desk = Desk(TokenBucket(rate, burst))
    await desk.send_all(requests)
    times = list(desk.granted.values())
    for first, last in itertools.combinations(range(len(times)), 2):
        window = times[last] - times[first]
        assert last - first + 1 <= burst + rate * window
    assert list(desk.granted) == sorted(desk.granted)


async def test_a_burst_is_followed_by_the_rate_for_a_day(
    virtual_clock: VirtualClock,
) -> None:
    bucket = TokenBucket(rate=1 / 64, burst=10)
    times = []
    for _ in range(1360):
        async with bucket:
            times.append(virtual_clock.now)
    assert times == [0.0] * 10 + [64.0 * n for n in range(1, 1351)]


async def test_rates_without_an_exact_float_do_not_drift(
    virtual_clock: VirtualClock,
) -> None:
    bucket = TokenBucket(rate=0.3)
    for _ in range(1001):
        await bucket.acquire()
    assert virtual_clock.now == pytest.approx(1000 / 0.3, rel=1e-12)


async def test_idle_time_fills_the_bucket_only_to_its_size(
    virtual_clock: VirtualClock,
) -> None:
    bucket = TokenBucket(rate=1, burst=2)
    await anyio.sleep(3600)
    times = []
    for _ in range(4):
        await bucket.acquire()
        times.append(virtual_clock.now)
    assert times == [3600, 3600, 3601, 3602]


async def test_time_in_which_the_loop_is_busy_fills_the_bucket_too(
    virtual_clock: VirtualClock,
) -> None:
    bucket = TokenBucket(rate=1, burst=2)
    await bucket.acquire()
    await bucket.acquire()
    virtual_clock.advance(10)
    await bucket.acquire()
    await bucket.acquire()
    assert virtual_clock.now == 10


@pytest.mark.parametrize("ended_by", ["timeout", "anyio's scope", "another task"])
async def test_a_request_cancelled_as_its_token_arrives_leaves_it_to_the_next(
    ended_by: str,
) -> None:
    desk = Desk(TokenBucket(rate=1))
    await desk.bucket.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(desk.send, Request(0.25, 0.75, ended_by))
        group.start_soon(desk.send, Request(0.5, 2.5, ended_by))
        group.start_soon(desk.send, Request(0.75, math.inf, ended_by))
    # Which request gets the token that arrives at 1 depends on the loop, but one does.
    assert list(desk.granted.values())[:2] == [1.0, 2.0]
    assert list(desk.granted) in ([0, 1, 2], [1, 2])


async def test_the_error_of_max_wait_names_the_rate_limit(
    virtual_clock: VirtualClock,
) -> None:
    bucket = TokenBucket(rate=1 / 60, max_wait=5)
    async with bucket:
        with pytest.raises(within.DeadlineExceeded, match=r"'rate limit' .* 5 s"):
            await bucket.acquire()
    assert virtual_clock.now == 5
    await anyio.sleep(55)
    await bucket.acquire()
    assert virtual_clock.now == 60


@pytest.mark.parametrize(
    ("rate", "burst"), [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0)]
)
def test_an_invalid_rate_or_burst_is_an_error(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="give a finite rate"):
        TokenBucket(rate, burst)
