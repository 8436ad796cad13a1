"""A server on Windows (P23), and the output of a command as it comes (P24)."""

from __future__ import annotations

import re
import socket
import sys
import time
from typing import Any

import anyio
import pytest

import within
from within import PIPE, ServerFailed, listening, run, server

if sys.platform != "win32":
    pytest.skip("these are the tests for Windows", allow_module_level=True)

from windows.programs import (
    FAMILY,
    FOREVER,
    LOOPS,
    QUICK,
    Watched,
    handles,
    long_enough,
    python,
)

pytestmark = pytest.mark.anyio

PATIENCE = 120  # seconds; reached only if something hangs


@pytest.fixture(params=LOOPS.values(), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_p23_the_block_is_entered_when_the_text_was_seen() -> None:
    says = f"print('loading'); print('ready on 80', end=''); {FOREVER}"
    with within.timeout(PATIENCE):
        async with server(*python(says), ready="ready on", stop=QUICK) as child:
            assert child.log == "loading\nready on 80"
        assert child.log == "loading\nready on 80"
        pattern = re.compile("ready on ([0-9]+)")
        async with server(*python(says), ready=pattern, stop=QUICK) as child:
            assert child.match[1] == "80"


async def test_p23_a_server_that_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="already listening on port"):
            await server(*python(FOREVER), ready=listening(port))
    listens = f"""
import socket
with socket.create_server(("127.0.0.1", {port})) as listener:
    while True:
        listener.accept()[0].close()
"""
    with within.timeout(PATIENCE):
        async with server(*python(listens), ready=listening(port), stop=QUICK):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()


async def test_p23_an_end_before_it_is_ready() -> None:
    fails = "import sys; sys.exit('woe')"
    never = anyio.Event().wait
    for ready in ("ready", never):
        with within.timeout(PATIENCE), pytest.raises(ServerFailed, match="woe") as got:
            await server(*python(fails), ready=ready)
        assert got.value.returncode == 1


async def test_p23_an_end_during_the_block_is_an_error_when_it_is_left() -> None:
    fails = "print('up'); input(); import sys; sys.exit(3)"
    with pytest.raises(ServerFailed, match="status 3 before the end of its block"):
        async with server(*python(fails), ready="up") as child:
            await child.write("\n")
            while child.returncode is None:
                await anyio.sleep(0.01)


async def test_p23_a_limit_says_what_it_has_written() -> None:
    says = f"print('loading'); {FOREVER}"
    with pytest.raises(within.DeadlineExceeded) as caught:
        async with within.timeout(await long_enough()):
            await server(*python(says), ready="never", stop=QUICK)
    assert any("loading" in note for note in caught.value.__notes__)


async def test_p23_it_never_waits_for_us_and_keeps_the_end() -> None:
    floods = "print('x' * 3_000_000); print('the end')"
    async with server(*python(floods), keep=10) as child:
        until = time.monotonic() + PATIENCE
        while not child.log.endswith("end\n") and time.monotonic() < until:
            time.sleep(0.01)  # the loop stands still
        assert child.log == "\nthe end\n"
        await child.wait()


async def test_p23_it_is_ended_with_its_tree_and_nothing_stays_open() -> None:
    before = 0
    for _ in range(2):  # the first one makes what all later ones use
        async with server(*python(FAMILY), ready="\n", stop=QUICK) as child:
            pids = map(int, child.log.split())
            members = [Watched(pid) for pid in pids]
            assert not any(one.is_dead() for one in members)
        assert all(one.wait(PATIENCE) for one in members)
        del members
        before, first = handles(), before
    assert before <= first + 5


async def test_p23_standard_streams_for_us_and_stderr_for_the_log() -> None:
    echoes = "import sys; print('up', file=sys.stderr); print(input())"
    async with server(*python(echoes), stdout=PIPE, ready="up") as child:
        await child.write("hello\n")
        assert await child.readline() == "hello\n"
        assert child.log == "up\n"
        await child.wait()


async def test_p24_lines_are_seen_as_they_come_and_the_end_is_kept() -> None:
    seen: list[Any] = []

    async def see(source: str, text: str) -> None:
        await anyio.sleep(0)
        seen.append((source, text))

    counts = "import sys; print('one'); print('two', file=sys.stderr)"
    found = await run(*python(counts), on_output=see, max_output=5, keep="tail")
    assert sorted(seen) == [("stderr", "two\n"), ("stdout", "one\n")]
    assert found.dropped == 5


async def test_p21_there_is_no_terminal_to_give() -> None:
    with pytest.raises(NotImplementedError, match="pty"):
        await within.process(*python("pass"), pty=True)
