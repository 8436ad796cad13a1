"""The table of time limits: what each peer's block does in awkward situations."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

import within

from .environment import run_on
from .table import Table, can_be_measured, tabulate

Make = Callable[[float], Any]

TRIES = 100  # where the outcome is a matter of chance
BLOCKS = 500  # entered and left in each round

# In seconds. A wait of `SHORT` is over long before one of `LONG`.
SHORT, LONG = 0.01, 0.06
CLEAN_UP = 0.5
NEVER = 3600.0


@dataclass(frozen=True)
class Peer:
    title: str
    loop: str
    needs: tuple[str, ...]
    make: Make
    awaited: bool = False  # entered with `async with`, because `with` is refused
    level: Make | None = None  # a level-triggered block, where the peer has one
    named: Make | None = None  # a block with a name, where the peer has names

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The errors that its blocks raise at the deadline."""
        if self.loop != "trio":
            return (TimeoutError,)
        import trio

        return TimeoutError, trio.TooSlowError


def peers() -> list[Peer]:
    return [
        Peer("asyncio.timeout", "asyncio", (), asyncio.timeout, awaited=True),
        Peer("async-timeout", "asyncio", ("async_timeout",), _async_timeout, True),
        Peer("quattro", "asyncio", ("quattro",), _quattro),
        Peer("anyio.fail_after (asyncio)", "asyncio", (), anyio.fail_after),
        Peer("trio.fail_after", "trio", ("trio",), _trio),
        *(
            Peer(
                f"within ({loop})",
                loop,
                needs,
                within.timeout,
                level=partial(within.timeout, level=True),
                named=partial(within.timeout, name="connect"),
            )
            for loop, needs in {"asyncio": (), "trio": ("trio",)}.items()
        ),
    ]


def _async_timeout(delay: float) -> Any:
    import async_timeout

    return async_timeout.timeout(delay)


def _quattro(delay: float) -> Any:
    import quattro

    return quattro.fail_after(delay)


def _trio(delay: float) -> Any:
    import trio

    return trio.fail_after(delay)


def measure(rounds: int) -> Table:
    columns = peers()
    times = _times([peer for peer in columns if can_be_measured(peer)], rounds)
    return tabulate(
        columns,
        {
            "an await completes in the very tick of the deadline": _same_tick,
            "deadline passes inside an anyio shielded scope": _shielded,
            "body swallows the cancellation": partial(_both, _swallowed),
            "CPU while a cancelled block waits for uncancellable clean-up": partial(
                _both, _cpu
            ),
            "which timeout was it?": _text,
            "one timeout, entered and left": lambda peer: times[peer.title],
        },
    )


# -- how each is driven ------------------------------------------------------


async def _limited(
    peer: Peer, make: Make, delay: float, body: Callable[[], Awaitable[None]]
) -> Exception | None:
    """The error that the block around ``body`` raises, if any."""
    try:
        if peer.awaited:
            async with make(delay):
                await body()
        else:
            with make(delay):
                await body()
        return None
    except peer.errors as error:
        return error


def _both(measure: Callable[[Peer, Make], str], peer: Peer) -> str:
    """The plain block; then the one with ``level=True``, where that differs."""
    plain = measure(peer, peer.make)
    if peer.level is None or (asked := measure(peer, peer.level)) == plain:
        return plain
    return f"{plain}; level=True: {asked}"


# -- the situations ----------------------------------------------------------


def _same_tick(peer: Peer) -> str:
    async def tries() -> int:
        return sum([await _is_lost(peer) for _ in range(TRIES)])

    lost = run_on(peer.loop, tries)
    return f"result lost {lost}/{TRIES}" if lost else f"kept {TRIES}/{TRIES}"


async def _is_lost(peer: Peer) -> bool:
    """Let a byte and the deadline arrive while a callback blocks the loop."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        def arrive() -> None:
            theirs.send(b"x")
            time.sleep(2 * delay)

        delay = 0.003  # long enough for the task to be waiting by then
        received: list[bytes] = []

        async def body() -> None:
            _soon(peer, arrive)
            received.append(await _receive(peer, ours))

        await _limited(peer, peer.make, delay, body)
        with suppress(
            BlockingIOError
        ):  # a byte that was not lost is still in the socket
            received.append(ours.recv(1))
        return not received


def _soon(peer: Peer, callback: Callable[[], None]) -> None:
    if peer.loop == "asyncio":
        asyncio.get_running_loop().call_soon(callback)
        return
    import trio

    trio.lowlevel.current_trio_token().run_sync_soon(callback)


async def _receive(peer: Peer, end: socket.socket) -> bytes:
    if peer.loop == "asyncio":
        return await asyncio.get_running_loop().sock_recv(end, 1)
    import trio

    await trio.lowlevel.wait_readable(end)
    return end.recv(1)


def _shielded(peer: Peer) -> str:
    held = False

    async def body() -> None:
        nonlocal held
        with anyio.CancelScope(shield=True):
            await anyio.sleep(LONG)
            held = True

    run_on(peer.loop, partial(_limited, peer, peer.make, SHORT, body))
    return "held" if held else "broken"


def _swallowed(peer: Peer, make: Make) -> str:
    runs_on = False

    async def body() -> None:
        nonlocal runs_on
        with suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep(LONG)
        await anyio.sleep(LONG)
        runs_on = True

    run_on(peer.loop, partial(_limited, peer, make, SHORT, body))
    return "runs on" if runs_on else "stopped"


def _cpu(peer: Peer, make: Make) -> str:
    used = 0.0

    async def body() -> None:
        nonlocal used
        try:
            await anyio.sleep(LONG)
        finally:
            began, cpu = time.monotonic(), time.process_time()
            await _clean_up(peer)
            used = (time.process_time() - cpu) / (time.monotonic() - began)

    run_on(peer.loop, partial(_limited, peer, make, SHORT, body))
    return f"{used * 100:.0f} %" + (" of a core" if used >= 0.01 else "")


async def _clean_up(peer: Peer) -> None:
    """Clean-up that cannot be cancelled, in each loop's own way."""
    if peer.loop == "asyncio":
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(CLEAN_UP, over.set_result, None)
        while not over.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([over])
        return
    import trio

    with trio.CancelScope(shield=True):
        await trio.sleep(CLEAN_UP)


def _text(peer: Peer) -> str:
    make = peer.named or peer.make
    error = run_on(
        peer.loop, partial(_limited, peer, make, SHORT, partial(anyio.sleep, NEVER))
    )
    return f"{type(error).__name__}({str(error)!r})"


# -- what is timed -----------------------------------------------------------


def _times(installed: list[Peer], rounds: int) -> dict[str, str]:
    """One turn for each peer in every round, so that a busy moment hits all alike."""
    seconds: dict[str, list[float]] = {peer.title: [] for peer in installed}
    for _ in range(rounds + 1):  # the first round is a rehearsal
        for peer in installed:
            timed = _timed_awaited if peer.awaited else _timed
            seconds[peer.title].append(run_on(peer.loop, partial(timed, peer.make)))
    return {
        title: f"{statistics.median(found[1:]) / BLOCKS * 1e6:.2f} µs"
        for title, found in seconds.items()
    }


async def _timed(make: Make) -> float:
    with make(NEVER):  # the first block on a loop has more to do
        pass
    began = time.perf_counter()
    for _ in range(BLOCKS):
        with make(NEVER):
            pass
    return time.perf_counter() - began


async def _timed_awaited(make: Make) -> float:
    async with make(NEVER):
        pass
    began = time.perf_counter()
    for _ in range(BLOCKS):
        async with make(NEVER):
            pass
    return time.perf_counter() - began
