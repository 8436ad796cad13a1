"""The cost of child processes: starting them, writing to them, reading from them.

All figures are in wall-clock time, because the child's own time counts as well.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from time import perf_counter
from typing import TYPE_CHECKING

from . import peer_children
from .measuring import OURS, Contender, Figure, Reading, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

MIB = 2**20
LINE = "x" * 54 + "\n"
PATTERN = os.urandom(MIB)
BALLAST = 256 * MIB
CHUNK = 65_536  # bytes of a plain read

Capture = Callable[[list[str], bytes | None], Awaitable[bytes]]
Lines = Callable[[list[str]], Awaitable[int]]

BLOCKING = "subprocess.run"
TEXT_PIPE = "blocking text pipe"


def figures(loop: str, *, quick: bool) -> list[Figure]:
    return [
        _start(loop, 2 if quick else 300),
        _start_from_large(loop, 2 if quick else 11),
        _through_cat(loop, (1 if quick else 96) * MIB, 2 if quick else 13),
        _lines(loop, 1_000 if quick else 200_000, 2 if quick else 9),
    ]


def output(loop: str, size: int, rounds: int) -> Figure:
    """A child that writes ``size`` bytes, all of which are captured."""
    command = ["head", "-c", str(size), "/dev/zero"]
    captures = _captures(loop)
    return Figure(
        loop,
        f"{size:,} bytes of output",
        [
            Contender(name, _captured(capture, command, None, size))
            for name, capture in captures.items()
        ],
        rounds,
    )


def _start(loop: str, rounds: int) -> Figure:
    most = {"asyncio": 1.0, "uvloop": 0.15, "trio": 0.85}
    return Figure(
        loop,
        'run("true")',
        [
            Contender(name, _captured(capture, ["true"], None, 0))
            for name, capture in _captures(loop).items()
        ],
        rounds,
        {BLOCKING: 1.15, loop: most[loop]},
    )


def _start_from_large(loop: str, rounds: int) -> Figure:
    """The same from a process with much memory, which a fork has to map again."""
    small = _start(loop, rounds)
    return replace(
        small,
        title=f"{small.title} from a process of {BALLAST // MIB} MiB more",
        contenders=[Contender(c.name, _ballasted(c.turn)) for c in small.contenders],
        targets={},
    )


def _through_cat(loop: str, size: int, rounds: int) -> Figure:
    captures = {**_captures(loop), "blocking reads, a thread writes": _plain_capture}
    most = {"asyncio": 0.40, "uvloop": 0.75, "trio": 0.60}
    return Figure(
        loop,
        f"{size // MIB} MiB through cat",
        [
            Contender(name, _fed(capture, ["cat"], size))
            for name, capture in captures.items()
        ],
        rounds,
        {BLOCKING: 0.67, loop: most[loop]},
    )


def _lines(loop: str, count: int, rounds: int) -> Figure:
    targets = {TEXT_PIPE: 2.0}
    readers: dict[str, Lines] = {OURS: peer_children.within_lines}
    if loop == "trio":
        readers["trio, its chunks"] = peer_children.trio_chunks
    else:
        targets["asyncio, readline"] = 0.25
        readers |= peer_children.asyncio_lines()
    readers[TEXT_PIPE] = _text_pipe
    readers["blocking reads"] = _plain_reads
    readers["async for, from memory"] = _from_memory
    return Figure(
        loop,
        f"lines of {len(LINE)} bytes: each",
        [Contender(name, _all_lines(read, count)) for name, read in readers.items()],
        rounds,
        targets,
    )


def _captures(loop: str) -> dict[str, Capture]:
    return {
        OURS: peer_children.within_capture,
        BLOCKING: _subprocess_run,
        **peer_children.captures(loop),
    }


# -- the turns ---------------------------------------------------------------


def _captured(
    capture: Capture,
    command: list[str],
    data: bytes | None,
    size: int,
) -> Turn:
    async def turn() -> float:
        began = perf_counter()
        length = len(await capture(command, data))
        took = perf_counter() - began
        assert length == size, f"{length} bytes of {size}"
        return took

    return turn


def _fed(capture: Capture, command: list[str], size: int) -> Turn:
    async def turn() -> Reading:
        # Made for this turn, so that other figures run without it in memory.
        data = PATTERN * (size // MIB)
        return await _captured(capture, command, data, size)()

    return turn


def _ballasted(turn: Turn) -> Turn:
    async def heavy() -> Reading:
        ballast = b"x" * BALLAST  # written to: untouched pages would take no memory
        reading = await turn()
        del ballast
        return reading

    return heavy


def _all_lines(read: Lines, count: int) -> Turn:
    async def turn() -> float:
        command = ["cat", str(_file_of_lines(count))]
        began = perf_counter()
        size = await read(command)
        took = perf_counter() - began
        assert size == count * len(LINE), f"{size} bytes of {count} lines"
        return took / count

    return turn


_directory = cache(partial(tempfile.TemporaryDirectory, prefix="within-speed-"))


@cache
def _file_of_lines(count: int) -> Path:
    file = Path(_directory().name, f"{count}.txt")
    file.write_text(LINE * count)
    return file


# -- blocking calls, for comparison -------------------------------------------------------------


async def _subprocess_run(command: list[str], data: bytes | None) -> bytes:
    stdin = DEVNULL if data is None else None
    return subprocess.run(  # noqa: ASYNC221
        command, input=data, stdin=stdin, capture_output=True, check=True
    ).stdout


async def _plain_capture(command: list[str], data: bytes | None) -> bytes:
    """A lower bound: the kernel and one copy, without a selector or stderr."""
    assert data is not None
    with _child(command, stdin=PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with _writing(child.stdin.fileno(), data, child.stdin.close):
            chunks = list(iter(partial(os.read, child.stdout.fileno(), CHUNK), b""))
    return b"".join(chunks)


@contextmanager
def _writing(fd: int, data: bytes, close: Callable[[], object]) -> Iterator[None]:
    def write() -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        close()

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


async def _text_pipe(command: list[str]) -> int:
    size = 0
    with subprocess.Popen(  # noqa: ASYNC220
        command, stdin=DEVNULL, stdout=PIPE, encoding="utf-8"
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            size += len(line)
    return size


class _Lines:
    """The simplest asynchronous iterator over lines."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if not self._lines:
            raise StopAsyncIteration
        return self._lines.pop()


async def _from_memory(command: list[str]) -> int:
    """As many lines as the file has, but from memory and without a child."""
    size = 0
    async for line in _Lines([LINE] * (os.stat(command[-1]).st_size // len(LINE))):
        size += len(line)
    return size


async def _plain_reads(command: list[str]) -> int:
    size = 0
    with _child(command, stdin=DEVNULL) as child:
        assert child.stdout is not None
        while data := os.read(child.stdout.fileno(), CHUNK):
            size += len(data)
    return size


def _child(command: list[str], stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=stdin, stdout=PIPE)
