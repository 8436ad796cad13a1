"""The kinds of run in a soak: each uses `within` in one way and checks the outcome."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import anyio

import within
from within import Stop

FOREVER = "600"
Kind = Callable[[random.Random], Awaitable[None]]


class Wrong(Exception):
    """A run did not do what it should have done."""


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, not {wanted!r}")


async def nothing(_: random.Random) -> None:
    done = await within.run("true")
    expect("true", (done.returncode, done.stdout), (0, b""))


async def through_cat(rng: random.Random) -> None:
    data = rng.randbytes(rng.choice((1, 1000, 200_000)))
    done = await within.run("cat", input=data)
    expect("cat", done.stdout == data, True)


async def failing(_: random.Random) -> None:
    try:
        await within.run("sh", "-c", "echo why >&2; exit 3")
    except subprocess.CalledProcessError as error:
        expect("failure", (error.returncode, error.stderr), (3, b"why\n"))
    else:
        missing("CalledProcessError")


async def timed_out(rng: random.Random) -> None:
    try:
        await within.run("sleep", FOREVER, timeout=rng.uniform(0, 0.01))
    except within.ProcessTimeout as error:
        expect("output", error.stdout, b"")
    else:
        missing("ProcessTimeout")


async def too_much(_: random.Random) -> None:
    try:
        await within.run("yes", max_output=100_000)
    except subprocess.CalledProcessError as error:
        expect("kept", len(error.stdout), 100_000)
    else:
        missing("OutputLimitExceeded")


async def not_started(rng: random.Random) -> None:
    command, cwd = rng.choice([("no-such-program", None), ("true", "/no/such/cwd")])
    try:
        await within.run(command, cwd=cwd)
    except FileNotFoundError as error:
        expect("file", error.filename, cwd or command)
    else:
        missing("FileNotFoundError")


async def lines(rng: random.Random) -> None:
    count = rng.choice((1, 10, 3000))
    async with within.process("seq", str(count)) as child:
        found = [int(line) async for line in child]
    expect("lines", found, list(range(1, count + 1)))
    expect("seq", child.returncode, 0)


async def conversation(rng: random.Random) -> None:
    async with within.process("cat") as child:
        assert child.stdin is not None
        for _ in range(rng.randrange(5)):
            await child.stdin.send(b"ping\n")
            expect("answer", await first_line(child), "ping\n")


async def stubborn(_: random.Random) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 600; done"
    plan = Stop(grace=0.01)
    async with within.process("sh", "-c", script, stop=plan) as child:
        await first_line(child)
    expect("stubborn", child.returncode, -9)


async def family(_: random.Random) -> None:
    script = f"sleep {FOREVER} & sleep {FOREVER} & echo $!; wait"
    async with within.process("sh", "-c", script) as child:
        grandchild = int(await first_line(child))
    expect("grandchild alive", is_alive(grandchild), False)


async def runaway(_: random.Random) -> None:
    script = f"setsid sleep {FOREVER} & echo $!; wait"
    plan = Stop(tree="all")
    async with within.process("sh", "-c", script, stop=plan) as child:
        grandchild = int(await first_line(child))
    expect("runaway alive", is_alive(grandchild), False)


async def cancelled(rng: random.Random) -> None:
    """Any other kind, cancelled somewhere in the middle."""
    limited = rng.choice((within.move_on_after, anyio.move_on_after))
    with limited(rng.uniform(0, 0.01)):
        await rng.choice(CANCELLED)(rng)


# How many of a hundred runs are of each kind.
SHARES: dict[Kind, int] = {
    nothing: 20,
    through_cat: 14,
    failing: 5,
    timed_out: 10,
    too_much: 4,
    not_started: 5,
    lines: 12,
    conversation: 6,
    stubborn: 4,
    family: 6,
    runaway: 2,
    cancelled: 12,
}
CANCELLED: list[Kind] = [kind for kind in SHARES if kind is not cancelled]


def missing(error: str) -> NoReturn:
    raise Wrong(f"no {error} was raised")


async def first_line(child: within.Process) -> str:
    async for line in child:
        return line
    raise Wrong(f"{child!r} wrote nothing")


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int | str) -> str:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return status[0].decode()
    return ""
