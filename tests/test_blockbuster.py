"""Children under BlockBuster, which forbids blocking calls on an asyncio loop (P16).

The tests of the MCP SDK and ``langgraph dev`` switch it on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from children import FOREVER, QUICK, line, longer_and_longer

from within import ProcessTimeout, Stop, process, run
from within._processes._posix import _census
from within._processes._posix._guard import guard

blockbuster: Any = pytest.importorskip("blockbuster")

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def no_blocking() -> Iterator[None]:
    with blockbuster.blockbuster_ctx():
        yield
    guard.forked()  # close it here, for the test that looks for what is left


async def runs() -> None:
    assert (await run("cat", input=bytes(300_000))).stdout == bytes(300_000)


async def fails() -> None:
    with pytest.raises(FileNotFoundError):
        await run("/no/such/program")


async def talks(stop: Stop = QUICK) -> None:
    async with process("cat", stop=stop) as child:
        assert child.stdin is not None
        await child.stdin.send(b"hi\n")
        assert await line(child) == "hi"


async def searches_for_its_tree() -> None:
    await talks(Stop(tree="all"))


async def has_a_guard() -> None:
    await talks(Stop(die_with_parent=True))


async def has_a_terminal() -> None:
    async with process("echo", "hi", pty=True) as child:
        assert await child.read() == "hi\n"


async def is_stopped() -> None:
    script = f"trap '' TERM; sleep {FOREVER} & echo ready; sleep {FOREVER}"
    for limit in longer_and_longer():
        with pytest.raises(ProcessTimeout) as raised:
            await run("sh", "-c", script, timeout=limit, stop=QUICK)
        if raised.value.stdout:
            break


async def leaves_a_job_behind() -> None:
    done = await run("sh", "-c", f"sleep {FOREVER} & echo hi")
    assert done.stdout == b"hi\n"


async def leaves_a_helper_behind() -> None:
    done = await run("bash", "-c", "exec > >(cat; sleep 0.2; echo late); echo hi")
    assert done.stdout == b"hi\nlate\n"


async def runs_for_so_long_that_all_processes_are_listed() -> None:
    async with process("sh", "-c", f"sleep {FOREVER} & echo; cat", stop=QUICK) as child:
        await line(child)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_census, "_FRESH", 0)
            await child.aclose()


@pytest.mark.parametrize(
    "use",
    [
        runs,
        fails,
        talks,
        searches_for_its_tree,
        has_a_guard,
        has_a_terminal,
        is_stopped,
        leaves_a_job_behind,
        leaves_a_helper_behind,
        runs_for_so_long_that_all_processes_are_listed,
    ],
)
async def test_p16_no_blocking_call_is_seen(
    use: Callable[[], Awaitable[None]], no_blocking: None
) -> None:
    await use()


def test_p16_the_first_use_on_a_loop_is_no_blocking_call() -> None:
    code = """
import asyncio, blockbuster, within

async def main():
    with blockbuster.blockbuster_ctx():
        await within.run("true")

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_p16_a_blocking_call_is_seen(no_blocking: None) -> None:
    with pytest.raises(blockbuster.BlockingError):
        os.listdir(".")
