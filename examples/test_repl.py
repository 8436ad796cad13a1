"""Tests of the dialogue with an interpreter."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

import anyio
import pytest
import repl as example
from repl import Repl

import within
from within.testing import backends

pytestmark = pytest.mark.anyio


@pytest.fixture(params=backends(), ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_line_is_answered_by_what_it_prints() -> None:
    async with Repl.start() as repl:
        assert await repl.run("x = 'a\\nb'") == ""
        assert await repl.run("print(x)") == "a\nb\n"
        assert "ZeroDivisionError" in await repl.run("1 / 0")


async def test_an_answer_of_any_length() -> None:
    async with Repl.start() as repl:
        assert await repl.run("print('x' * 3_000_000)") == "x" * 3_000_000 + "\n"


async def test_tasks_take_turns_and_each_gets_its_own_answer() -> None:
    async def ask(number: int) -> None:
        answers[number] = await repl.run(f"{number} + 1")

    answers: dict[int, str] = {}
    async with Repl.start() as repl, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    assert answers == {number: f"{number + 1}\n" for number in range(20)}


async def test_a_line_that_takes_too_long_is_interrupted_and_the_session_goes_on() -> (
    None
):
    async with Repl.start() as repl:
        await repl.run("x = 6")
        with pytest.raises(within.DeadlineExceeded, match="while True"):
            await repl.run("while True: pass", timeout=0.1)
        assert await repl.run("x") == "6\n"


async def test_a_line_that_ends_just_before_its_interrupt_leaves_no_answer_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async with Repl.start() as repl:
        process = repl._process
        output, send_signal = process.stdout, process.send_signal
        assert output is not None

        def let_it_end_first(number: int) -> None:
            fifo.write_text("")  # the line ends,
            select.select([output], [], [])  # and the prompt arrives
            send_signal(number)

        monkeypatch.setattr(process, "send_signal", let_it_end_first)
        with pytest.raises(within.DeadlineExceeded):
            await repl.run(f"_ = open({str(fifo)!r}).read()", timeout=0.1)
        assert [await repl.run(f"{n}") for n in (1, 2)] == ["1\n", "2\n"]


async def test_a_line_that_is_cancelled_from_outside_is_interrupted_too() -> None:
    async with Repl.start() as repl:
        with within.move_on_after(0.1) as limit:
            await repl.run("print('old'); import time; time.sleep(60)")
        assert limit.expired
        assert await repl.run("6 * 7") == "42\n"


async def test_a_line_that_ignores_the_interrupt_ends_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(example, "PATIENCE", 0.1)
    async with Repl.start() as repl:
        await repl.run("import signal, time")
        await repl.run("_ = signal.signal(signal.SIGINT, signal.SIG_IGN)")
        with pytest.raises(within.DeadlineExceeded, match="sleep"):
            await repl.run("time.sleep(60)", timeout=0.1)
        with pytest.raises(within.IncompleteOutput):
            await repl.run("6 * 7")


async def test_the_interpreter_exits() -> None:
    async with Repl.start() as repl:
        with pytest.raises(within.IncompleteOutput) as raised:
            await repl.run("print('good night'); exit(3)")
    assert (raised.value.output, raised.value.returncode) == ("good night\n", 3)
