"""The output of one child as the input of the next (P20)."""

from __future__ import annotations

import os
import signal
import subprocess
from subprocess import DEVNULL
from typing import Any

import anyio
import pytest
from children import FOREVER, line

from within import Stop, process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

each_start = pytest.mark.parametrize("start", [process, run])


async def test_p20_three_stages_each_with_its_status() -> None:
    async with (
        process("sh", "-c", "seq 100000; exit 3", stdin=DEVNULL) as first,
        process("sh", "-c", "grep 7; exit 4", stdin=first.stdout) as second,
    ):
        last = await run("wc", "-l", stdin=second.stdout, text=True)
        assert await first.wait() == 3
        assert await second.wait() == 4
    assert int(last.stdout) == sum("7" in str(n) for n in range(100001))


async def test_p20_the_stdin_of_the_second_is_blocking_and_its_own() -> None:
    async with process("sh", "-c", "read x; echo hello") as first:
        async with process("cat", stdin=first.stdout) as second:
            assert first.stdin is not None
            await first.stdin.send(b"\n")
            assert await line(second) == "hello"
        with pytest.raises(anyio.ClosedResourceError):
            await first.stdout.receive()  # type: ignore[union-attr]


async def test_p20_a_reader_that_goes_away_ends_the_writer() -> None:
    async with process("yes", stdin=DEVNULL, stop=Stop(grace=60)) as first:
        done = await run("head", "-n", "1", stdin=first.stdout)
        assert done.stdout == b"y\n"
        assert await first.wait() == -signal.SIGPIPE


@each_start
async def test_p20_what_was_read_here_cannot_be_handed_over(start: Any) -> None:
    async with process("sh", "-c", f"echo hi; exec sleep {FOREVER}") as first:
        assert await line(first) == "hi"
        with pytest.raises(ValueError, match="before you read"):
            await start("cat", stdin=first.stdout)
    with pytest.raises(ValueError, match="closed"):
        async with process("sleep", FOREVER) as first:
            assert first.stdout is not None
            await first.stdout.aclose()
            await start("cat", stdin=first.stdout)


@each_start
async def test_p20_a_start_that_fails_leaves_the_stream_as_it_was(start: Any) -> None:
    async with process("sh", "-c", "read x; echo hello") as first:
        with pytest.raises(FileNotFoundError):
            await start("no-such-program", stdin=first.stdout)
        assert not os.get_blocking(first.stdout.fileno())  # type: ignore[union-attr]
        await first.stdin.send(b"\n")  # type: ignore[union-attr]
        assert [pair async for pair in first.output()] == [("stdout", "hello\n")]


async def test_p20_not_while_another_task_reads() -> None:
    async with process("sleep", FOREVER) as first, anyio.create_task_group() as tasks:
        assert first.stdout is not None
        tasks.start_soon(first.stdout.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await run("cat", stdin=first.stdout)
        tasks.cancel_scope.cancel()


async def test_p20_stdout_may_be_a_pipe_of_ours_as_well() -> None:
    """The other way round is a descriptor, as ever."""
    reading, writing = os.pipe()
    async with process("echo", "hi", stdin=DEVNULL, stdout=writing) as first:
        os.close(writing)
        done = await run("cat", stdin=reading, stderr=subprocess.STDOUT)
        await first.wait()
    os.close(reading)
    assert done.stdout == b"hi\n"


async def test_p20_an_error_for_a_process_as_stdin_names_its_stdout() -> None:
    async with process("cat") as first:
        with pytest.raises(TypeError, match="the stdout of another process"):
            await process("cat", stdin=first)  # type: ignore[call-overload]
