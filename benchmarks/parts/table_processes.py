"""The table of child processes: what each peer does in awkward situations."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import platform
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

import within

from .table import NOT_APPLICABLE, Table, tabulate
from .table_programs import adopted_by, left_by

Command = list[str]

LIMIT = 0.5  # seconds
# How long a helper that outlives its parent sleeps, in seconds. Shellous stops waiting
# for it after three, so only a longer sleep distinguishes that from a hang.
NAP, LONG_NAP = 4, 6
LINES = ["x" * 200_000 + "\n", "short\n"]

_numbers = itertools.count(1)

# How `within` stops its children.
STOP = within.Stop()


@dataclass(frozen=True)
class Peer:
    title: str
    needs: tuple[str, ...]
    # Runs a command, within a limit unless it is None, and returns its output.
    run: Callable[[Command, float | None], bytes | str]
    # The items that a loop over the output of a command yields.
    parts: Callable[[Command], list[bytes | str]]


def measure() -> Table:
    situations: dict[str, Callable[[Peer], str]] = {
        f"sh -c 'sleep {LONG_NAP} & wait' under a limit of {LIMIT} s": _orphan,
        f"sh -c 'echo hi; sleep {NAP} &'": _early,
        "output written before the limit struck": _kept,
        "one line over 64 KiB": _long_line,
        "bash -c 'exec > >(sleep 0.5; cat); echo hi'": _helper,
        "the program is killed (SIGKILL)": partial(_signalled, number=signal.SIGKILL),
        "sys.exit() in a SIGTERM handler": partial(_signalled, number=signal.SIGTERM),
        "a limit in a program that adopts orphans, as PID 1 does": _adopted,
    }
    if platform.system() == "Windows":  # which has no sh
        situations = dict.fromkeys(situations, _not_applicable)
    return tabulate(PEERS, situations)


def _peer(
    title: str,
    loop: str,
    run: Callable[[Command, float | None], Awaitable[bytes | str]],
    parts: Callable[[Command], Awaitable[list[bytes | str]]],
) -> Peer:
    package = title.split()[0]
    return Peer(
        title,
        tuple({name for name in (package, loop) if name not in ("within", "asyncio")}),
        lambda command, limit: anyio.run(run, command, limit, backend=loop),
        lambda command: anyio.run(parts, command, backend=loop),
    )


# -- the situations ----------------------------------------------------------


def _not_applicable(peer: Peer) -> str:
    return NOT_APPLICABLE


def _orphan(peer: Peer) -> str:
    with _nap(LONG_NAP) as nap:
        took, error = _timed(peer, ["sh", "-c", f"{nap} & wait"], LIMIT)
        left = len(_sleepers(nap))
    if error is None:
        return f"no timeout at all ({took:.1f} s)"
    if took > LONG_NAP:
        return f"hangs: {took:.1f} s"
    fate = f"{left} orphan left" if left else "whole tree dead"
    return f"{fate}, after {took:.2f} s"


def _helper(peer: Peer) -> str:
    """All that the command writes goes through a helper, which outlives it."""
    output = peer.run(["bash", "-c", "exec > >(sleep 0.5; cat); echo hi"], None)
    return "kept" if output in (b"hi\n", "hi\n") else f"lost: {output!r}"


def _signalled(peer: Peer, number: int) -> str:
    with _nap(LONG_NAP) as nap:
        command = ["sh", "-c", f"{nap} & wait"]
        return left_by(peer.title, number, command, lambda: len(_sleepers(nap)))


def _adopted(peer: Peer) -> str:
    with _nap(LONG_NAP) as nap:
        return adopted_by(peer.title, ["sh", "-c", f"{nap} & wait"])


def _early(peer: Peer) -> str:
    with _nap(NAP) as nap:
        took, error = _timed(peer, ["sh", "-c", f"echo hi; {nap} &"], None)
    if error is not None:
        raise error
    return f"returns after {took:.2f} s"


def _kept(peer: Peer) -> str:
    with _nap(NAP) as nap:
        # The output must not be part of the command, because errors show that as well.
        command = ["sh", "-c", f"printf k%st ep; exec {nap}"]
        _, error = _timed(peer, command, LIMIT)
    if error is None:
        return "no timeout at all"
    return "kept" if any("kept" in repr(vars(e)) for e in _chain(error)) else "lost"


def _long_line(peer: Peer) -> str:
    script = "head -c 200000 /dev/zero | tr '\\0' x; echo; echo short"
    try:
        parts = peer.parts(["sh", "-c", script])
    except (ValueError, EOFError, asyncio.LimitOverrunError) as error:
        return f"{type(error).__name__}: {str(error)[:60]}"
    lines = [p.decode() if isinstance(p, bytes) else p for p in parts]
    if "".join(lines).split() != "".join(LINES).split():
        return "output lost"
    if [line.rstrip("\n") for line in lines] == [line.rstrip("\n") for line in LINES]:
        return "fine"
    return f"by hand: {len(parts)} chunks, not 2 lines"


def _timed(
    peer: Peer, command: Command, limit: float | None
) -> tuple[float, Exception | None]:
    began = time.monotonic()
    try:
        peer.run(command, limit)
    except (TimeoutError, subprocess.TimeoutExpired, _TooSlow) as error:
        return time.monotonic() - began, error
    return time.monotonic() - began, None


class _TooSlow(Exception):
    """A limit has expired; carries the output so far, where the peer has it."""

    def __init__(self, output: bytes | str | None = None) -> None:
        super().__init__()
        self.output = output


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _nap(seconds: int) -> Generator[str]:
    """A sleep command that can be told from all others; it is killed at the end."""
    nap = f"sleep {seconds}.{os.getpid():07}{next(_numbers):03}"
    try:
        yield nap
    finally:
        for pid in _sleepers(nap):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _sleepers(nap: str) -> list[int]:
    if not Path("/proc/self/cmdline").exists():
        listed = subprocess.check_output(["ps", "-eo", "pid=,args="], text=True)
        rows = [line.split(maxsplit=1) for line in listed.splitlines()]
        return [int(row[0]) for row in rows if row[1:] == [nap]]
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = process.joinpath("cmdline").read_bytes().rstrip(b"\0")
            if words.replace(b"\0", b" ").decode(errors="replace") == nap:
                found.append(int(process.name))
    return found


# -- each peer's own way, as its documentation shows it ------------------------


def _subprocess_run(command: Command, limit: float | None) -> bytes:
    return subprocess.run(
        command, stdout=subprocess.PIPE, timeout=limit, check=True
    ).stdout


def _subprocess_parts(command: Command) -> list[bytes | str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        return list(child.stdout)


async def _asyncio_run(command: Command, limit: float | None) -> bytes:
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        async with asyncio.timeout(limit):
            return (await child.communicate())[0]
    except TimeoutError:
        # asyncio leaves this to the caller. The documentation of subprocess does it like
        # this.
        child.kill()
        raise _TooSlow((await child.communicate())[0]) from None


async def _asyncio_parts(command: Command) -> list[bytes | str]:
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        return [line async for line in child.stdout]
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _anyio_run(command: Command, limit: float | None) -> bytes:
    with anyio.fail_after(limit):
        return (await anyio.run_process(command)).stdout


async def _anyio_parts(command: Command) -> list[bytes | str]:
    async with await anyio.open_process(command) as child:
        assert child.stdout is not None
        return [chunk async for chunk in child.stdout]


async def _trio_run(command: Command, limit: float | None) -> bytes:
    import trio

    try:
        with trio.fail_after(float("inf") if limit is None else limit):
            done = await trio.run_process(command, capture_stdout=True)
    except trio.TooSlowError as error:
        raise _TooSlow from error
    return bytes(done.stdout)


async def _trio_parts(command: Command) -> list[bytes | str]:
    import trio

    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdout=subprocess.PIPE)
        child: trio.Process = await nursery.start(start)
        assert child.stdout is not None
        return [bytes(chunk) async for chunk in child.stdout]


async def _shellous_run(command: Command, limit: float | None) -> str:
    from shellous import sh

    # It warns of a child that takes long to end, which the table shows anyway.
    logging.getLogger("shellous").addHandler(logging.NullHandler())
    return await sh(*command).set(timeout=limit)


async def _shellous_parts(command: Command) -> list[bytes | str]:
    from shellous import sh

    return [line async for line in sh(*command)]


async def _within_run(command: Command, limit: float | None) -> bytes:
    done: Any = await within.run(*command, timeout=limit, stop=STOP)
    return bytes(done.stdout)


async def _within_parts(command: Command) -> list[bytes | str]:
    async with within.process(*command) as child:
        return [line async for line in child]


PEERS = [
    Peer("subprocess.run", (), _subprocess_run, _subprocess_parts),
    _peer("asyncio", "asyncio", _asyncio_run, _asyncio_parts),
    _peer("anyio (asyncio)", "asyncio", _anyio_run, _anyio_parts),
    _peer("trio", "trio", _trio_run, _trio_parts),
    _peer("shellous", "asyncio", _shellous_run, _shellous_parts),
    _peer("within (asyncio)", "asyncio", _within_run, _within_parts),
    _peer("within (trio)", "trio", _within_run, _within_parts),
]
