"""Each peer's own way to run a child process, as its documentation shows it.

All of them do the same: they capture stdout and stderr, or read stdout line by line,
and notice a failure.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Coroutine
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

import within

from .environment import is_installed

Capture = Callable[[list[str], bytes | None], Awaitable[bytes]]
Lines = Callable[[list[str]], Awaitable[int]]
# Keeps a child alive while it awaits the function that it is given.
Alive = Callable[[Callable[[], Awaitable[None]]], Coroutine[Any, Any, None]]

LONGEST = 2**16  # bytes of a line, for readers that need a limit


def captures(loop: str) -> dict[str, Capture]:
    """By name; the loop's own way has the name of the loop."""
    found: dict[str, Capture] = {}
    found[loop] = trio_capture if loop == "trio" else asyncio_capture
    found["anyio"] = anyio_capture
    if loop != "trio" and is_installed("shellous"):
        found["shellous"] = shellous_capture
    return found


def asyncio_lines() -> dict[str, Lines]:
    found: dict[str, Lines] = {
        "asyncio, readline": asyncio_readline,
        "anyio, receive_until": anyio_until,
    }
    if is_installed("shellous"):
        found["shellous"] = shellous_lines
    return found


def alive(loop: str) -> dict[str, Alive]:
    own = trio_alive if loop == "trio" else asyncio_alive
    return {"within": within_alive, loop: own, "anyio": anyio_alive}


# -- within ------------------------------------------------------------------


async def within_capture(command: list[str], data: bytes | None) -> bytes:
    done = await within.run(*command, input=data)
    assert isinstance(done.stdout, bytes)
    return done.stdout


async def within_lines(command: list[str]) -> int:
    size = 0
    async with within.process(*command, stdin=DEVNULL) as child:
        async for line in child:
            size += len(line)
    return size


async def within_alive(hold: Callable[[], Awaitable[None]]) -> None:
    async with within.process("cat") as child:
        await hold()
        assert child.stdin is not None
        await child.stdin.aclose()
        await child.wait()


# -- asyncio and uvloop -------------------------------------------------


async def asyncio_capture(command: list[str], data: bytes | None) -> bytes:
    child = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL if data is None else PIPE, stdout=PIPE, stderr=PIPE
    )
    output, _ = await child.communicate(data)
    assert child.returncode == 0
    return output


async def asyncio_readline(command: list[str]) -> int:
    child = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
    assert child.stdout is not None
    size = 0
    while line := await child.stdout.readline():
        size += len(line)
    await child.wait()
    return size


async def asyncio_alive(hold: Callable[[], Awaitable[None]]) -> None:
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    await hold()
    await child.communicate()


# -- anyio, on every loop --------------------------------------------------------


async def anyio_capture(command: list[str], data: bytes | None) -> bytes:
    if data is None:
        return (await anyio.run_process(command, stdin=DEVNULL)).stdout
    return (await anyio.run_process(command, input=data)).stdout


async def anyio_until(command: list[str]) -> int:
    size = 0
    async with await anyio.open_process(command, stdin=DEVNULL, stderr=None) as child:
        assert child.stdout is not None
        lines = BufferedByteReceiveStream(child.stdout)
        try:
            while True:
                # The line is returned without its newline.
                size += len(await lines.receive_until(b"\n", LONGEST)) + 1
        except (anyio.EndOfStream, anyio.IncompleteRead):
            return size


async def anyio_alive(hold: Callable[[], Awaitable[None]]) -> None:
    async with await anyio.open_process(["cat"], stderr=None) as child:
        await hold()
        assert child.stdin is not None
        await child.stdin.aclose()
        await child.wait()


# -- trio --------------------------------------------------------------------


async def trio_capture(command: list[str], data: bytes | None) -> bytes:
    trio = importlib.import_module("trio")
    done = await trio.run_process(
        command, stdin=data or b"", capture_stdout=True, capture_stderr=True
    )
    return bytes(done.stdout)


async def trio_chunks(command: list[str]) -> int:
    """Chunks: trio has no lines. A lower bound for code that splits them."""
    trio = importlib.import_module("trio")
    child: Any = await trio.lowlevel.open_process(command, stdin=DEVNULL, stdout=PIPE)
    size = 0
    async for chunk in child.stdout:
        size += len(chunk)
    await child.wait()
    await child.stdout.aclose()
    return size


async def trio_alive(hold: Callable[[], Awaitable[None]]) -> None:
    trio = importlib.import_module("trio")
    child: Any = await trio.lowlevel.open_process(["cat"], stdin=PIPE, stdout=PIPE)
    await hold()
    await child.stdin.aclose()
    await child.wait()
    await child.stdout.aclose()


# -- shellous ----------------------------------------------------------------


async def shellous_capture(command: list[str], data: bytes | None) -> bytes:
    sh = importlib.import_module("shellous").sh
    one = sh(*command).stdin(data if data is not None else DEVNULL)
    return bytes((await one.result).output_bytes)


async def shellous_lines(command: list[str]) -> int:
    sh = importlib.import_module("shellous").sh
    size = 0
    async for line in sh(*command):
        size += len(line)
    return size
