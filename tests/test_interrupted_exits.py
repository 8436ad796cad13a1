"""T23: an exception out of a signal handler in ``__exit__()``, ``__aexit__()``, a timer."""

from __future__ import annotations

import _thread
import asyncio
import operator
import signal
import sys
from collections import deque
from contextlib import suppress
from itertools import starmap
from types import FrameType
from typing import Any, Self

import anyio
import pytest
from test_interrupted_blocks import Interrupted, interrupt, is_in_timeouts, sweep
from virtual_limits import LIMIT, NEVER, nothing_strikes, open_blocks, virtually

import within

# Until 3.11, what a trace function raises in the first instruction leaves the function
# past each `try`, unlike what a signal handler raises there.
FIRST = 1 if sys.version_info < (3, 12) else 0


def is_exit(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    is_ours = name.startswith("within._timeouts")
    return is_ours and frame.f_code.co_name in ("__exit__", "__aexit__")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("form", ["with", "async with"])
def test_t23_interrupted_at_any_bytecode_of_exit_a_block_is_closed(
    form: str, backend: str
) -> None:
    async def attempt(at: int) -> bool:
        limit = within.move_on_after(LIMIT)
        limit.__enter__()
        with interrupt(is_exit, FIRST + at) as places, suppress(Interrupted):
            if form == "with":
                limit.__exit__(None, None, None)
            else:
                await limit.__aexit__(None, None, None)
        await nothing_strikes()
        return bool(places)

    assert sweep(attempt, backend) > 15


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("form", ["with", "async with"])
def test_t23_a_signal_in_the_first_instruction_of_exit_leaves_no_block_open(
    form: str, backend: str
) -> None:
    def interrupt_it(number: int, frame: FrameType | None) -> None:
        assert frame is not None
        interrupted.append((frame.f_code.co_name, frame.f_lasti))
        raise Interrupted

    async def main() -> None:
        limit = within.move_on_after(LIMIT)
        limit.__enter__()
        leave: Any = limit.__exit__ if form == "with" else limit.__aexit__
        # Both are called from C, and no handler runs in between.
        calls = starmap(
            operator.call,
            [(_thread.interrupt_main, signal.SIGUSR1), (leave, None, None, None)],
        )
        with pytest.raises(Interrupted):
            deque(calls)
        await nothing_strikes()

    interrupted: list[tuple[str, int]] = []
    before = signal.signal(signal.SIGUSR1, interrupt_it)
    try:
        virtually(main, backend)
    finally:
        signal.signal(signal.SIGUSR1, before)
    name = "__exit__" if form == "with" else "__aexit__"
    assert interrupted == [(name, 0)]


def test_t14_t23_interrupted_at_any_bytecode_of_its_entry_a_shield_holds_nothing() -> (
    None
):
    async def attempt(at: int) -> bool:
        with anyio.CancelScope() as scope:
            shield = within.shield()
            with interrupt(is_in_timeouts, at) as places, suppress(Interrupted):
                shield.__enter__()
            if not places:
                shield.__exit__(None, None, None)
            scope.cancel()
            await anyio.sleep(LIMIT)
        assert scope.cancelled_caught
        await nothing_strikes()
        return bool(places)

    assert sweep(attempt, "asyncio") > 50


class Armed:
    """Raises in the next ``call_at()``, before or after the timer is armed."""

    def __init__(self, *, is_armed: bool) -> None:
        self.loop: Any = asyncio.get_running_loop()
        self.is_armed = is_armed
        self.timers: list[asyncio.TimerHandle] = []

    def __enter__(self) -> Self:
        self.loop.call_at = self.call_at
        return self

    def __exit__(self, *exc: object) -> None:
        del self.loop.call_at

    def call_at(self, *arguments: Any, **keywords: Any) -> None:
        if self.is_armed:
            call_at = type(self.loop).call_at
            self.timers.append(call_at(self.loop, *arguments, **keywords))
        raise Interrupted


@pytest.mark.parametrize("is_armed", [False, True])
def test_t2_t23_a_timer_whose_arming_was_interrupted_delays_no_other(
    is_armed: bool,
) -> None:
    async def main() -> None:
        with Armed(is_armed=is_armed), pytest.raises(Interrupted):
            within.move_on_after(LIMIT).__enter__()
        with within.move_on_after(LIMIT) as later:
            await asyncio.sleep(NEVER)
        assert later.cancelled_caught
        assert within.current_time() == LIMIT

    virtually(main)


def test_t8_t23_a_timer_whose_arming_was_interrupted_is_not_kept_beside_others() -> (
    None
):
    def alarms() -> int:
        loop: Any = asyncio.get_running_loop()
        alarm = loop._within_backend.alarm
        return sum(
            getattr(timer._callback, "__self__", None) is alarm
            and not timer.cancelled()
            for timer in loop._scheduled
        )

    async def main() -> None:
        with Armed(is_armed=True), pytest.raises(Interrupted):
            within.move_on_after(LIMIT).__enter__()
        with within.move_on_after(2 * LIMIT), within.move_on_after(NEVER):
            assert alarms() == 2
            await asyncio.sleep(1.5 * LIMIT)
            assert alarms() == 1

    virtually(main)


def test_t8_t23_a_block_that_a_task_has_never_left_is_forgotten_at_its_deadline() -> (
    None
):
    async def victim() -> None:
        within.move_on_after(LIMIT).__enter__()

    async def main() -> None:
        await asyncio.create_task(victim())
        assert len(open_blocks()) == 1
        await asyncio.sleep(2 * LIMIT)
        assert open_blocks() == []

    virtually(main)
