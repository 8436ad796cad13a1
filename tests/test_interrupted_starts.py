"""P14: nothing of a child is left when its start is interrupted at the last moment."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from children import FOREVER, alive

import within
from within import process
from within._processes import _ends, _pipe_reader, _streams, _text
from within._processes._platform import Pump

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


class Interrupted(BaseException):
    """What a signal handler raises."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "part",
    [
        _ends.Ends,
        _streams.SendStream,
        _streams.ReceiveStream,
        _pipe_reader.PipeReader,
        _text.TextReader,
    ],
)
async def test_p14_a_handler_raises_after_the_child_was_started(
    part: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: object, *args: Any, **options: Any) -> None:
        raise Interrupted

    monkeypatch.setattr(part, "__init__", interrupted)
    with pytest.raises(Interrupted):
        async with process("sleep", FOREVER):
            pytest.fail("it was started")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


async def test_p14_a_handler_raises_as_the_block_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[within.Process] = []

    async def interrupted(self: within.Process) -> None:
        started.append(self)
        raise Interrupted

    monkeypatch.setattr(within.Process, "__aenter__", interrupted)
    with pytest.raises(Interrupted):
        async with process("sleep", FOREVER):
            pytest.fail("it was entered")
    assert not alive(started[0].pid)


@pytest.mark.usefixtures("no_collector")
async def test_p14_a_child_that_is_dropped_ends_without_the_collector() -> None:
    child = await process("sleep", FOREVER)
    pid = child.pid
    with pytest.warns(ResourceWarning, match="was dropped while open"):
        del child
    assert not alive(pid)


async def test_p14_a_child_lives_as_long_as_its_lines_are_read() -> None:
    script = f"read line; echo $line; exec sleep {FOREVER}"
    readable, writable = os.pipe()
    lines = aiter(await process("sh", "-c", script, stdin=readable))
    os.write(writable, b"hello\n")
    os.close(readable)
    os.close(writable)
    assert await anext(lines) == "hello\n"
    with pytest.warns(ResourceWarning, match="was dropped while open"):
        del lines
        gc.collect()


@pytest.mark.parametrize("kind", ["readline", "output"])
async def test_p14_a_wait_that_was_interrupted_while_it_began_can_be_repeated(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising = [Interrupted()]

    def wake_at(self: Pump, fd: int) -> None:
        if raising:
            raise raising.pop()
        before(self, fd)

    before = Pump.wake_at
    monkeypatch.setattr(Pump, "wake_at", wake_at)
    async with process("cat") as child:
        read = child.readline if kind == "readline" else child.output().__anext__
        with pytest.raises(Interrupted):
            await read()
        assert not raising
        await child.write("a line\n")
        with within.timeout(5):
            assert "a line\n" in await read()
