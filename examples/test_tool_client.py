"""Tests of the tool client."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import tool_client
from tool_client import COMMAND, open_tools

import within
from within.testing import backends

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.fixture(params=backends(), ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def nothing_is_left(anyio_backend: Any) -> AsyncIterator[None]:
    await anyio.lowlevel.checkpoint()  # the loop has opened its own descriptors now
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222


PRINTED = """\
HELLO
there is no tool fly
stopped by the end of its stdin, status 0
the server is gone (status 1); it says: asked for initialize
asked for explode
out of paper
"""


async def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    await tool_client.main()
    assert capsys.readouterr().out == PRINTED


async def test_a_call_that_was_given_up_does_not_confuse_the_next_one() -> None:
    async with open_tools(*COMMAND) as tools:
        tools.server.send_signal(signal.SIGSTOP)
        with within.move_on_after(0.1) as limit:
            await tools.call("upper", text="one")
        assert limit.cancelled_caught
        tools.server.send_signal(signal.SIGCONT)
        assert await tools.call("upper", text="two") == "TWO"


async def test_several_tasks_take_turns() -> None:
    answers: list[str] = []

    async def ask(text: str) -> None:
        answers.append(await tools.call("upper", text=text))

    async with open_tools(*COMMAND) as tools, anyio.create_task_group() as tasks:
        for text in "abc":
            tasks.start_soon(ask, text)
    assert sorted(answers) == ["A", "B", "C"]


async def test_a_server_that_exits_at_once_is_told_by_its_log() -> None:
    with pytest.raises(ConnectionError, match=r"status 3\); it says: no config"):
        async with open_tools("sh", "-c", "echo no config >&2; exit 3"):
            raise AssertionError


async def test_a_server_that_says_much_on_stderr_is_not_held_up() -> None:
    noisy = COMMAND[2].replace('"asked for"', '"x" * 1_000_000')
    async with open_tools(*COMMAND[:2], noisy) as tools:
        assert await tools.call("upper", text="still here") == "STILL HERE"


# A server that reads nothing while it writes an answer. It answers in many words.
WORDY = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    answer = {"jsonrpc": "2.0", "id": request["id"], "result": "x" * 200_000}
    print(json.dumps(answer), flush=True)
"""
LONG = "y" * 10**6  # as an answer of that server, more than a pipe holds


async def test_a_long_answer_to_an_abandoned_call_does_not_block_a_long_one() -> None:
    async with open_tools(*COMMAND[:2], WORDY) as tools:
        tools.server.send_signal(signal.SIGSTOP)
        with within.move_on_after(0.1) as limit:
            await tools.call("abandoned")
        assert limit.cancelled_caught
        tools.server.send_signal(signal.SIGCONT)
        with within.timeout(30):
            assert await tools.call("echo", text=LONG) == "x" * 200_000


@pytest.mark.parametrize(
    ("misbehaviour", "patience", "status"),
    [
        ("os.close(1)", 0.1, "(None|-9)"),  # it lives on, and will never answer
        ("os.close(0)", 30, -9),  # it will never read
        ("os.write(1, b'no JSON\\n' + b'\\xff' * 9 + b'[1]\\n'); sys.exit(3)", 30, 3),
    ],
)
async def test_a_server_that_will_not_answer_counts_as_gone(
    misbehaviour: str, patience: float, status: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_client, "PATIENCE", patience)
    script = f"import os, sys, time; os.read(0, 9); {misbehaviour}; time.sleep(60)"
    process = within.server(*COMMAND[:2], script, stdout=within.PIPE, errors="replace")
    with suppress(within.ServerFailed), within.timeout(30):
        async with process as server:
            tools = tool_client.Tools(server)
            with pytest.raises(ConnectionError, match=rf"gone \(status {status}\)"):
                await tools.call("echo", text=LONG)


async def test_a_server_that_does_not_read_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_client, "PATIENCE", 0.1)
    with suppress(within.ServerFailed):
        async with within.server("sleep", "60", stdout=within.PIPE) as server:
            tools = tool_client.Tools(server)
            with pytest.raises(ConnectionError, match="gone"):
                await tools.call("echo", text=LONG)
