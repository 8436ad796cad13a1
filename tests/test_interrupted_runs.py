"""T25: what a command had done when a limit around it struck is not lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from children import FOREVER, QUICK, longer_and_longer

import within

pytestmark = pytest.mark.anyio


class Command:
    """A command that says something and then runs forever."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    async def run(self, **options: Any) -> None:
        script = f"echo out; echo err >&2; echo >/dev/fd/{self.writing}; exec sleep {FOREVER}"
        how: Any = {"pass_fds": [self.writing], "stop": QUICK, "text": True, **options}
        await within.run("sh", "-c", script, **how)

    async def cancel_once_it_has_spoken(self, limit: within.Timeout) -> None:
        await anyio.wait_readable(self.reading)
        limit.cancel()


@pytest.fixture
def command() -> Iterator[Command]:
    made = Command()
    yield made
    os.close(made.reading)
    os.close(made.writing)


def check(completed: within.Completed[Any] | None) -> None:
    assert completed is not None
    assert (completed.stdout, completed.stderr) == ("out\n", "err\n")
    assert completed.returncode == -15
    assert completed.usage is not None
    assert completed.args[0] == "sh"


async def test_t25_the_error_of_a_limit_has_the_output(command: Command) -> None:
    async with anyio.create_task_group() as tasks:
        with pytest.raises(within.DeadlineExceeded) as raised:
            async with within.timeout(None) as limit:
                tasks.start_soon(command.cancel_once_it_has_spoken, limit)
                await command.run()
    check(raised.value.interrupted)
    assert raised.value.interrupted is limit.interrupted


async def test_t25_a_block_that_is_left_quietly_has_the_output(
    command: Command,
) -> None:
    async with anyio.create_task_group() as tasks:
        async with within.move_on_after(None) as limit:
            tasks.start_soon(command.cancel_once_it_has_spoken, limit)
            async with within.timeout(3600) as inner:
                await command.run(timeout=3600)
    check(limit.interrupted)
    assert inner.interrupted is None


async def test_t25_through_a_task_group_and_a_clean_up(command: Command) -> None:
    async def in_the_group() -> None:
        try:
            await command.run()
        finally:
            await anyio.lowlevel.cancel_shielded_checkpoint()

    async with anyio.create_task_group() as tasks:
        async with within.move_on_after(None) as limit:
            tasks.start_soon(command.cancel_once_it_has_spoken, limit)
            await in_the_group()
    check(limit.interrupted)


async def test_t25_a_command_that_was_not_started_is_not_reported() -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with within.timeout(0):
            await within.run("true")
    assert raised.value.interrupted is None


async def test_t25_a_server_that_was_not_ready_is_reported_with_its_log() -> None:
    script = f"echo loading; exec sleep {FOREVER}"
    for limit in longer_and_longer():
        with pytest.raises(within.DeadlineExceeded) as raised:
            async with within.timeout(limit):
                await within.server("sh", "-c", script, ready="ready", stop=QUICK)
        told = raised.value.interrupted
        if told is not None and told.stdout:
            break
    assert told is not None
    assert (told.stdout, told.stderr) == ("loading\n", None)
    assert told.returncode == -15
    assert told.usage.wall > 0


async def test_t25_a_limit_without_a_command_reports_none() -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with within.timeout(0):
            await anyio.sleep_forever()
    assert raised.value.interrupted is None


async def test_t25_a_block_after_an_interrupted_command_does_not_report_it(
    command: Command,
) -> None:
    async with anyio.create_task_group() as tasks:
        try:
            async with within.timeout(None) as limit:
                tasks.start_soon(command.cancel_once_it_has_spoken, limit)
                await command.run()
        except within.DeadlineExceeded:
            with within.move_on_after(0) as later:
                await anyio.sleep_forever()
    assert later.cancelled_caught
    assert later.interrupted is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_t25_a_limit_on_the_clean_up_does_not_report_the_command_outside(
    command: Command,
) -> None:
    """On trio nothing tells for which scope a cancellation was sent."""
    async with anyio.create_task_group() as tasks:
        async with within.move_on_after(None) as limit:
            tasks.start_soon(command.cancel_once_it_has_spoken, limit)
            try:
                await command.run()
            finally:
                with within.shield(0) as clean_up:
                    await anyio.sleep_forever()
    assert clean_up.cancelled_caught
    assert clean_up.interrupted is None
    check(limit.interrupted)
