"""Tests of the shell tool, with commands that misbehave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import agent_shell
import anyio
import anyio.lowlevel
import pytest
from agent_shell import KEPT, shell
from children import alive

import within
from within.testing import backends

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

AMPLE = 60  # seconds


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


async def test_the_output_is_shown_while_the_command_runs() -> None:
    """It goes on only when its line has been shown."""
    waiting, going = os.pipe()
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        os.write(going, b"\n")

    os.set_inheritable(waiting, True)
    script = f"echo one; read x </proc/{os.getpid()}/fd/{waiting}; echo two >&2"
    try:
        report = await shell(script, AMPLE, show)
    finally:
        os.close(waiting)
        os.close(going)
    assert shown == ["one\n", "two\n"]
    assert report == "The command exited with status 0.\nIts output:\none\ntwo\n"


async def test_the_model_gets_the_end_of_a_long_output() -> None:
    shown: list[str] = []
    report = await shell("seq 100000; exit 3", AMPLE, shown.append)
    assert len(shown) == 100_000
    first, second, rest = report.split("\n", 2)
    assert first == "The command exited with status 3."
    assert second == f"Its output without the first {588_895 - KEPT} bytes:"
    assert len(rest) == KEPT
    assert rest.endswith("\n100000\n")


async def test_a_command_that_takes_too_long_is_stopped_with_its_tree() -> None:
    script = "(setsid sleep 600 &); sleep 600 & echo $!; wait"
    shown: list[str] = []
    report = await shell(script, 0.5, shown.append)
    assert report.startswith("The command was stopped after 0.5 s.\nIts output:\n")
    assert not alive(int(shown[0]))


async def test_output_that_is_no_text() -> None:
    report = await shell(r"printf 'caf\351'", AMPLE, print)
    assert report.endswith("caf\N{REPLACEMENT CHARACTER}")
    assert await shell("true", AMPLE, print) == "The command exited with status 0.\n"


async def test_a_limit_of_the_caller_ends_it_too() -> None:
    with within.move_on_after(0.3) as limit:
        await shell("sleep 600", AMPLE, print)
    assert limit.cancelled_caught


async def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    await agent_shell.main()
    printed = capsys.readouterr().out
    assert "(2 lines shown)\nThe command exited with status 2." in printed
    assert "(1 lines shown)\nThe command was stopped after 0.5 s." in printed
    assert "(100000 lines shown)" in printed
