"""T23: an exception out of a signal handler leaves no block half open."""

from __future__ import annotations

import asyncio
import dis
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest
from virtual_limits import (
    LIMIT,
    NEVER,
    nothing_strikes,
    open_blocks,
    this_task,
    virtually,
)

import within


class Interrupted(BaseException):
    """What a signal handler raises."""


@contextmanager
def interrupt(which: Callable[[FrameType], bool], at: int) -> Iterator[list[str]]:
    """Raise at the ``at``-th bytecode of the frames that ``which`` chooses.

    Where it was raised is put into the list. CPython never handles a signal just before
    it returns from a function.
    """
    places: list[str] = []
    left = at

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not which(frame):
            return None
        frame.f_trace_opcodes = True
        code = frame.f_code.co_code[frame.f_lasti]
        if event in ("call", "opcode") and not dis.opname[code].startswith("RETURN"):
            if not left:
                sys.settrace(None)
                places.append(f"{frame.f_code.co_name}:{frame.f_lineno} {event}")
                raise Interrupted
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield places
    finally:
        sys.settrace(before)


def is_in_backend(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.startswith("within._backends._")


def is_in_timeouts(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.startswith(("within._backends", "within._timeouts", "within._core"))


def sweep(attempt: Callable[[int], Coroutine[Any, Any, bool]], backend: str) -> int:
    """Make the attempt at each bytecode, each time on a loop of its own.

    Args:
        attempt: Is given the number of the bytecode, and returns whether it was there.
        backend: The loop.

    Returns:
        How many bytecodes there were.
    """

    async def main() -> bool:
        with within.timeout(NEVER):
            pass  # what is loaded once is loaded
        return await attempt(at)

    at = 0
    while virtually(main, backend):
        at += 1
    return at


async def interrupted_entry(at: int) -> bool:
    limit = within.move_on_after(LIMIT)
    with interrupt(is_in_timeouts, at) as places, suppress(Interrupted):
        limit.__enter__()
    if not places:
        limit.__exit__(None, None, None)
    return bool(places)


async def interrupted_exit(at: int) -> bool:
    limit = within.move_on_after(LIMIT)
    limit.__enter__()
    with interrupt(is_in_backend, at) as places, suppress(Interrupted):
        limit.__exit__(None, None, None)
    return bool(places)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t23_interrupted_at_any_bytecode_of_its_entry_a_block_is_not_open(
    backend: str,
) -> None:
    async def attempt(at: int) -> bool:
        was_there = await interrupted_entry(at)
        await nothing_strikes()
        return was_there

    assert sweep(attempt, backend) > 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t23_interrupted_at_any_bytecode_of_its_exit_a_block_is_closed(
    backend: str,
) -> None:
    async def attempt(at: int) -> bool:
        was_there = await interrupted_exit(at)
        await nothing_strikes()
        return was_there

    assert sweep(attempt, backend) > 20


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t2_t23_after_an_interrupted_entry_later_deadlines_strike(backend: str) -> None:
    async def attempt(at: int) -> bool:
        was_there = await interrupted_entry(at)
        with within.move_on_after(LIMIT) as later:
            await anyio.sleep(NEVER)
        assert later.cancelled_caught
        return was_there

    assert sweep(attempt, backend) > 50


def test_t23_interrupted_before_its_scope_is_left_a_block_on_trio_is_closed() -> None:
    async def main() -> None:
        limit = within.move_on_after(LIMIT)
        limit.__enter__()
        with interrupt(is_in_backend, 0) as places, suppress(Interrupted):
            limit.__exit__(None, None, None)
        assert places
        await nothing_strikes()

    virtually(main, "trio")


@pytest.mark.parametrize("at", [0, 1])
def test_t8_t23_a_block_that_has_cancelled_its_task_takes_that_back(at: int) -> None:
    """Interrupted at the start of its exit, and of the part that settles what it owes."""

    async def main() -> None:
        limit = within.move_on_after(LIMIT)
        limit.__enter__()
        with pytest.raises(asyncio.CancelledError) as raised:
            await asyncio.sleep(NEVER)
        assert this_task().cancelling() == 1
        with interrupt(is_at_start, at) as places, suppress(Interrupted):
            limit.__exit__(raised.type, raised.value, None)
        assert places
        assert this_task().cancelling() == 0
        await nothing_strikes()

    def is_at_start(frame: FrameType) -> bool:
        is_first = frame.f_code.co_name in ("exit", "_settle") and frame.f_lasti <= 0
        return is_in_backend(frame) and is_first

    virtually(main)


def test_t23_a_task_that_ends_while_it_leaves_a_block_leaves_no_trace() -> None:
    async def victim() -> None:
        with within.move_on_after(LIMIT):
            await asyncio.sleep(LIMIT / 2)
            interrupted.__enter__()

    async def main() -> None:
        with pytest.raises(Interrupted):
            await asyncio.create_task(victim())
        interrupted.__exit__(None, None, None)
        await asyncio.sleep(LIMIT)
        assert open_blocks() == []

    interrupted = interrupt(lambda frame: frame.f_code.co_name == "__exit__", 0)
    virtually(main)


@pytest.mark.parametrize("form", ["with", "async with"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_t23_a_storm_of_signals_leaves_no_block_open(loop: str, form: str) -> None:
    # In a process of its own, because pytest-timeout uses the same signal.
    storm = Path(__file__).with_name("signal_storm.py")
    done = subprocess.run(
        [sys.executable, storm, loop, form, "1000"],
        check=True,
        capture_output=True,
        text=True,
    )
    left_open, inside = map(int, done.stdout.split())
    assert left_open == 0
    assert inside > 20  # on trio most come in the code of trio
