"""Tests of the heartbeat session, on asyncio and trio in virtual time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream
from heartbeat import BEAT, GOODBYE, session
from hypothesis import given, settings, strategies as st

import within
from within.testing import VirtualClock

pytestmark = pytest.mark.virtual_time


@dataclass
class Wire(ObjectStream[str]):
    """Our end of a connection. Its sends take time and are recorded."""

    send_takes: float = 0.0
    sent: list[tuple[float, str]] = field(default_factory=list)  # when each send began
    sent_goodbye: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        self.began = within.current_time()
        self.peer, self.incoming = anyio.create_memory_object_stream[str](math.inf)

    def now(self) -> float:
        return within.current_time() - self.began

    async def receive(self) -> str:
        return await self.incoming.receive()

    async def send(self, item: str) -> None:
        self.sent.append((self.now(), item))
        await anyio.sleep(self.send_takes)
        self.sent_goodbye = item == GOODBYE

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.incoming.close()
        self.closed = True

    def beats(self) -> list[float]:
        return [when for when, what in self.sent if what == BEAT]

    async def deliver(self, times: list[float], then_close: bool) -> None:
        for when in times:
            await anyio.sleep_until(self.began + when)
            self.peer.send_nowait(f"at {when}")
        if then_close:
            self.peer.close()


@asynccontextmanager
async def wire(
    times: list[float], *, then_close: bool = False, send_takes: float = 0.0
) -> AsyncIterator[Wire]:
    """A connection over which messages arrive at these times."""
    mine = Wire(send_takes)
    with mine.peer:
        async with anyio.create_task_group() as group:
            group.start_soon(mine.deliver, times, then_close)
            yield mine
            group.cancel_scope.cancel()
    assert mine.closed


async def outcome(awaitable: Awaitable[None]) -> str:
    try:
        await awaitable
    except within.DeadlineExceeded as error:
        return str(error.scope.name)
    return "closed"


def taking(seconds: float, handled: list[float]) -> Callable[[str], Awaitable[None]]:
    async def handle(message: str) -> None:
        handled.append(within.current_time())
        await anyio.sleep(seconds)

    return handle


async def nothing(message: str) -> None:
    pass


def expected(
    times: list[float], then_close: bool, limit: float, handle_takes: float
) -> tuple[str, float, list[float]]:
    """Calculate what ends the session, when, and when each message is read."""
    free, deadline = 0.0, limit
    read: list[float] = []
    for when in times:
        free = max(free, when)
        if free > deadline:
            return "keep-alive", deadline, read
        read.append(free)
        deadline = free + limit
        free += handle_takes
    if then_close and free < deadline:
        return "closed", free, read
    return "keep-alive", deadline, read


# Limits are odd multiples of 1/128, and all other times are multiples of 1/64. So no
# event coincides with a deadline, where the order would depend on the loop.
limits = st.integers(0, 64 * 60).map(lambda n: (2 * n + 1) / 128)
gaps = st.lists(st.integers(0, 64 * 60).map(lambda n: n / 64), max_size=10)


@settings(deadline=None)
@given(gaps, st.booleans(), limits, st.sampled_from([0.0, 0.5, 10.0]))
async def test_silence_ends_the_session_at_the_last_message_plus_the_limit(
    gaps: list[float], then_close: bool, limit: float, handle_takes: float
) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    handled: list[float] = []
    async with wire(times, then_close=then_close) as mine:
        got = await outcome(
            session(
                mine, taking(handle_takes, handled), interval=1e6, limit=limit, grace=1
            )
        )
        assert mine.sent == [(mine.now(), GOODBYE)]
    read = [when - mine.began for when in handled]
    assert (got, mine.now(), read) == expected(times, then_close, limit, handle_takes)


@settings(deadline=None)
@given(st.integers(1, 64 * 60), st.floats(0, 1, exclude_max=True), st.integers(0, 200))
async def test_each_beat_is_on_time_however_long_the_previous_one_took(
    sixtyfourths: int, share: float, beats: int
) -> None:
    interval = sixtyfourths / 64
    send_takes = math.floor(share * sixtyfourths) / 64
    async with wire([], send_takes=send_takes) as mine:
        limit = (beats + 0.5) * interval
        await outcome(session(mine, nothing, interval=interval, limit=limit, grace=1e4))
    assert mine.beats() == [n * interval for n in range(1, beats + 1)]
    assert mine.sent[-1] == (limit, GOODBYE)
    assert mine.sent_goodbye
    assert mine.now() == limit + send_takes


async def test_a_day_of_messages() -> None:
    times = [30.0 * n for n in range(1, 2881)]
    handled: list[float] = []
    async with wire(times, send_takes=1) as mine:
        got = await outcome(
            session(mine, taking(5, handled), interval=60, limit=45, grace=5)
        )
    assert got == "keep-alive"
    assert handled == times
    assert mine.beats() == [60.0 * n for n in range(1, 1441)]
    assert mine.sent[-1] == (86_400 + 45, GOODBYE)


async def test_a_beat_is_skipped_if_its_time_passes_during_another() -> None:
    async with wire([], send_takes=2.5) as mine:
        await outcome(session(mine, nothing, interval=1, limit=10.5, grace=5))
    assert mine.beats() == [1, 4, 7, 10]


async def test_a_beat_due_at_the_end_of_another_is_on_time() -> None:
    async with wire([], send_takes=2) as mine:
        await outcome(session(mine, nothing, interval=1, limit=6.5, grace=5))
    assert mine.beats() == [1, 3, 5]


@pytest.mark.parametrize(
    ("send_takes", "leaves_at"), [(2, 102), (4.5, 104), (1e6, 104)]
)
async def test_a_cancelled_session_says_goodbye_within_its_grace(
    send_takes: float, leaves_at: float
) -> None:
    async with wire([], send_takes=send_takes) as mine:
        with within.move_on_after(100):
            await session(mine, nothing, interval=1e6, limit=1e6, grace=4)
        assert mine.now() == leaves_at
    assert mine.sent == [(100, GOODBYE)]
    assert mine.sent_goodbye is (send_takes < 4)


async def test_a_message_read_after_the_deadline_does_not_revive_the_session(
    virtual_clock: VirtualClock,
) -> None:
    handled: list[float] = []
    async with wire([]) as mine:

        async def hog() -> None:
            await anyio.sleep(9)
            mine.peer.send_nowait("sent in time, but read too late")
            virtual_clock.advance(20)

        async with anyio.create_task_group() as group:
            group.start_soon(hog)
            got = await outcome(
                session(mine, taking(5, handled), interval=1e6, limit=10, grace=1)
            )
    assert got == "keep-alive"
    assert mine.now() == 29  # not at 10, and not 10 seconds later
    assert mine.sent == [(29, GOODBYE)]


async def test_an_error_of_the_handler_is_raised_even_if_the_peer_has_gone() -> None:
    class Gone(Wire):
        async def send(self, item: str) -> Any:
            raise anyio.BrokenResourceError

    async def fail(message: str) -> None:
        raise LookupError(message)

    gone = Gone()
    with gone.peer:
        gone.peer.send_nowait("hello")
        with pytest.raises(ExceptionGroup) as caught:
            await session(gone, fail, interval=1, limit=10, grace=1)
    assert [repr(error) for error in caught.value.exceptions] == [
        "LookupError('hello')"
    ]
    assert gone.closed
