"""A storm of deadlines over an HTTP client with one connection loses no slot.

httpx2 is the maintained line of httpx, whose last release is 0.28.1. Its pool hands the
slot from task to task, so a lost result is a lost slot (T4). It closes connections in a
shielded scope of anyio, so a broken shield loses a slot, too (T15). The network is in
memory and counts its operations. That lets us put the deadline at each operation, and
in each pass of the loop, one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import ssl
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import Ticks, loop_name
from hypothesis import given, strategies as st

import within
from within.testing import backends, virtual_clock

pytestmark = pytest.mark.anyio

VIRTUAL = backends(virtual_time=True)
ASYNCIO = pytest.mark.parametrize("anyio_backend", VIRTUAL[:1], ids=loop_name)
EVERY_LOOP = pytest.mark.parametrize(
    "anyio_backend", [*VIRTUAL, ("asyncio", {"use_uvloop": True})], ids=loop_name
)
OURS = [within.timeout, functools.partial(within.timeout, level=True)]
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading a real one is slow
PASSES = 300  # more than any storm takes


class AnyioScope:
    """A cancel scope of anyio, which on trio is trio's own."""

    def __init__(self, delay: float | None) -> None:
        self._scope = anyio.move_on_after(delay)
        self.cancel = self._scope.cancel

    async def __aenter__(self) -> None:
        self._scope.__enter__()

    async def __aexit__(self, *exc: object) -> bool | None:
        return self._scope.__exit__(*exc)  # type: ignore[arg-type]


class Ask(NamedTuple):
    """A request, whether its answer is read, and its limit in seconds."""

    host: str
    read: bool = True
    delay: float | None = None


# The requests start together. The deadline is on the last but one, and the last one
# needs the slot afterwards.
PROGRAMS = {
    "kept": [Ask("keeps"), Ask("keeps")],
    "closed": [Ask("closes"), Ask("keeps")],
    "unread": [Ask("keeps", read=False), Ask("other")],
    "queueing": [Ask("closes"), Ask("keeps"), Ask("keeps")],
    "evicting": [Ask("keeps"), Ask("other"), Ask("keeps")],
    "evicting-unread": [Ask("keeps"), Ask("other", read=False), Ask("other")],
}
EVERY_PROGRAM = pytest.mark.parametrize("asks", PROGRAMS.values(), ids=PROGRAMS)


class Wire:
    """A network in memory. Each operation takes a turn of `slow` passes of the loop.

    In turn `at` it strikes, just before the result has arrived or just after.
    """

    def __init__(self, slow: int = 0, at: int = 0, arrived: bool = False) -> None:
        self.turns = 0
        self.open: set[Stream] = set()
        self.strike: Callable[[], None]
        self._slow, self._at, self._arrived = slow, at, arrived
        self._ask, self._asked = anyio.create_memory_object_stream[Any](math.inf)

    async def turn(self) -> None:
        done = anyio.Event()
        self._ask.send_nowait(done)
        await done.wait()

    async def run(self) -> None:
        async with self._ask, self._asked:
            async for done in self._asked:
                for _ in range(self._slow):
                    await checkpoint()
                self.turns += 1
                if self.turns == self._at and not self._arrived:
                    self.strike()
                done.set()
                if self.turns == self._at and self._arrived:
                    self.strike()

    async def connect_tcp(self, host: str, port: int, **_: Any) -> Stream:
        await self.turn()
        return Stream(self, host)


class Stream:
    """A connection to a server that answers 200 with a body in two parts."""

    def __init__(self, wire: Wire, host: str) -> None:
        self._wire = wire
        self._head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"
        self._head += b"Connection: close\r\n\r\n" if host == "closes" else b"\r\n"
        self._answers: list[bytes] = []
        wire.open.add(self)

    async def write(self, data: bytes, timeout: float | None = None) -> None:
        if data:
            await self._wire.turn()
            self._answers += [self._head, b"bo", b"dy"]

    async def read(self, size: int, timeout: float | None = None) -> bytes:
        await self._wire.turn()
        return self._answers.pop(0)

    async def aclose(self) -> None:
        await self._wire.turn()
        self._wire.open.discard(self)

    def get_extra_info(self, name: str) -> None:
        return None


class Storm:
    """Requests over a pool with one connection, each in a block, and what they lose."""

    def __init__(
        self, http: Any, asks: list[Ask], block: Any, wire: Wire, patience: float
    ) -> None:
        self.wire = wire
        self.asks = [(ask, block(ask.delay)) for ask in asks]
        self.answered = self.undisturbed = 0
        self.lost: list[str] = []
        limits = http.Limits(max_connections=1, max_keepalive_connections=1)
        transport = http.AsyncHTTPTransport(verify=UNUSED, limits=limits)
        self._pool = transport._pool
        self._pool._network_backend = wire
        self._error = http.HTTPError
        timeout = http.Timeout(None, pool=patience)
        self._client = http.AsyncClient(transport=transport, timeout=timeout)

    async def rage(self, *beside: Callable[[], Any]) -> Storm:
        async with self._client, anyio.create_task_group() as around:
            async with anyio.create_task_group() as tasks:
                for ask, block in self.asks:
                    tasks.start_soon(self._in_block, ask, block)
                    await checkpoint()  # they queue in this order on every loop
                for function in (self.wire.run, *beside):
                    around.start_soon(function)
            assert self.undisturbed == len(self.asks)
            self._look()
            await self._fetch(Ask("keeps"))
            await self._client.aclose()
            around.cancel_scope.cancel()
        return self

    async def _in_block(self, ask: Ask, block: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with block:
                await self._fetch(ask)
        await checkpoint()
        self.undisturbed += requests_to_cancel() == 0

    async def _fetch(self, ask: Ask) -> None:
        try:
            async with self._client.stream("GET", f"http://{ask.host}/") as response:
                if ask.read:
                    assert await response.aread() == b"body"
            self.answered += 1
        except self._error as error:
            self.lost.append(f"an answer: {type(error).__name__}")

    def _look(self) -> None:
        states = [(one.is_idle(), one.is_closed()) for one in self._pool.connections]
        idle = sum(is_idle for is_idle, _ in states)
        if (False, False) in states:
            self.lost.append("the slot")
        if self._pool._requests:
            self.lost.append("a place in the queue")
        if len(self.wire.open) > idle:
            self.lost.append("an open connection")


def requests_to_cancel() -> int:
    with contextlib.suppress(RuntimeError):  # trio does not count requests
        return cast("asyncio.Task[Any]", asyncio.current_task()).cancelling()
    return 0


async def count_passes() -> None:
    """Advance the clock by a second in each pass of the loop."""
    while True:
        virtual_clock().advance(1)
        await checkpoint()


async def by_pass(http: Any, asks: list[Ask], block: Any, delay: Any) -> list[str]:
    asks = [*asks[:-2], asks[-2]._replace(delay=delay), asks[-1]]
    return (await Storm(http, asks, block, Wire(1), PASSES).rage(count_passes)).lost


async def passes_of(http: Any, asks: list[Ask]) -> range:
    began = within.current_time()
    storm = Storm(http, asks[:-1], within.timeout, Wire(1), PASSES)
    assert not (await storm.rage(count_passes)).lost
    return range(int(within.current_time() - began))


@pytest.fixture(params=["httpx2", "httpx"])
def http(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@ASYNCIO
@EVERY_PROGRAM
@pytest.mark.parametrize(
    "block",
    [
        pytest.param(OURS[0], id="once"),
        # In the ordinary run, the storm below has some of these.
        pytest.param(OURS[1], id="level", marks=pytest.mark.exhaustive),
    ],
)
async def test_t4_t15_a_deadline_in_any_pass_of_the_loop_loses_no_slot(
    http: Any, asks: list[Ask], block: Any
) -> None:
    for delay in await passes_of(http, asks):
        lost = await by_pass(http, asks, block, delay)
        if lost and http.__name__ == "httpx":
            # If a request is cancelled just before the pool gives it a connection, the
            # pool keeps the connection forever, with any library (encode/httpcore#1093).
            assert lost == await by_pass(http, asks, AnyioScope, delay)
        else:
            assert not lost, f"in pass {delay}"


@ASYNCIO
async def test_t4_t15_the_timeout_of_asyncio_loses_it_there(http: Any) -> None:
    lost = set()
    for asks in PROGRAMS.values():
        for delay in await passes_of(http, asks):
            lost |= set(await by_pass(http, asks, asyncio.timeout, delay))
    # httpx2 loses the slot for the requests in the queue; httpx loses it for good.
    loss = {"an answer: PoolTimeout", "a place in the queue", "an open connection"}
    assert loss | ({"the slot"} if http.__name__ == "httpx" else set()) <= lost


async def by_turn(asks: list[Ask], block: Any, ticks: Ticks, *at: Any) -> Storm:
    wire = Wire(0, *at)
    storm = Storm(pytest.importorskip("httpx2"), asks, block, wire, ticks.long)
    wire.strike = storm.asks[-2][1].cancel
    return await storm.rage()


@EVERY_LOOP
@EVERY_PROGRAM
async def test_t4_t15_a_deadline_at_any_turn_of_the_wire_loses_no_slot(
    asks: list[Ask], ticks: Ticks, on_asyncio: bool
) -> None:
    calm = await by_turn(asks, within.timeout, ticks)
    assert not calm.lost
    for at in product(range(1, calm.wire.turns + 1), (False, True)):
        lost = (await by_turn(asks, within.timeout, ticks, *at)).lost
        if on_asyncio:
            assert not lost, f"{at=}"
        else:
            # Once connected, the client waits for a lock before it can handle a
            # cancellation. trio's own scopes lose the slot there as well.
            own = await by_turn(asks, AnyioScope, ticks, *at)
            assert lost == own.lost, f"{at=}"


@EVERY_LOOP
async def test_t4_an_answer_that_has_just_arrived_is_given(ticks: Ticks) -> None:
    at = (5, True)  # to connect, to write, and three times to read
    storm = await by_turn(PROGRAMS["kept"], within.timeout, ticks, *at)
    assert storm.asks[0][1].expired
    assert storm.answered == 3  # including the request that checks the pool at the end


HOSTS = st.sampled_from(["keeps", "closes", "other"])
ASKS = st.builds(Ask, HOSTS, st.booleans(), st.none() | st.integers(0, 60))


@ASYNCIO
@given(st.lists(ASKS, min_size=1, max_size=4), st.booleans(), st.integers(0, 3))
async def test_t4_t15_a_storm_of_many_deadlines_loses_no_slot(
    asks: list[Ask], level: bool, slow: int
) -> None:
    http = pytest.importorskip("httpx2")
    storm = Storm(http, asks, OURS[level], Wire(slow), PASSES)
    assert not (await storm.rage(count_passes)).lost
