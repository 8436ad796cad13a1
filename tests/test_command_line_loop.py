"""The command waits without an event loop, and its blocks keep the same rules there."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from children import until_it_waits

import within
from within._backends import current
from within._command_line._blocking import run

FORBIDDEN = ("anyio", "asyncio", "dataclasses", "inspect", "trio", "uvloop")


def test_the_command_imports_no_event_loop() -> None:
    code = (
        "import sys; from within.__main__ import main; status = main(['60', 'true']); "
        f"sys.exit(status or str([m for m in {FORBIDDEN} if m in sys.modules] or ''))"
    )
    # Without site, which may import anything; then an editable installation is not found.
    env = {**os.environ, "PYTHONPATH": str(Path(within.__file__).parents[1])}
    call = [sys.executable, "-S", "-c", code]
    done = subprocess.run(call, env=env, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\n")  # from sys.exit("")


def test_neither_an_import_nor_the_command_compiles_an_annotation() -> None:
    """NamedTuple and TypeVar compile those that are strings, until Python 3.13.

    compile() gets ready when it is first called. That takes a quarter of the time of an
    empty program, so in modules with such classes the annotations are types.
    """
    code = """
import builtins, sys
def compile_noted(source, *arguments, **options):
    if isinstance(source, str):
        compiled.append(source)
    return compile_it(source, *arguments, **options)
compiled = []
compile_it, builtins.compile = compile, compile_noted
from within import run
from within.__main__ import main
status = main(["60", "true"])
sys.exit(status or str(compiled or ""))
"""
    env = {**os.environ, "PYTHONPATH": str(Path(within.__file__).parents[1])}
    call = [sys.executable, "-S", "-c", code]
    done = subprocess.run(call, env=env, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\n")  # from sys.exit("")


def test_exit_functions_are_run() -> None:
    code = (
        "import atexit, os; from within._command_line import run; "
        "atexit.register(os.write, 1, b'bye'); run()"
    )
    call = [sys.executable, "-c", code, "60", "sh", "-c", "exit 3"]
    done = subprocess.run(call, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "bye", "")


def test_a_signal_that_does_not_interrupt_the_wait_ends_it() -> None:
    # The kernel gives it to another thread, so poll(2) goes on in this one.
    reading, writing = os.pipe()

    async def main() -> None:
        current().wake_on_signals()
        with within.timeout(60):
            await current().wait_readable(reading)

    def send() -> None:
        until_it_waits(us)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    us = threading.get_native_id()
    before = signal.signal(signal.SIGUSR1, lambda *_: os.write(writing, b"x"))
    thread = threading.Thread(target=send)
    thread.start()
    try:
        run(main())
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)
        os.close(writing)


@pytest.fixture
def silent() -> Iterator[int]:
    """A pipe that is never readable."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


async def never(silent: int) -> None:
    await current().wait_readable(silent)


async def a_deadline_ends_its_block(silent: int) -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        with within.timeout(0.001, name="brief") as limit:
            await never(silent)
    assert raised.value.scope is limit
    assert within.current_time() >= (limit.deadline or math.inf)  # T1


async def t3_a_block_that_does_not_wait_again_is_in_time(silent: int) -> None:
    with within.timeout(0) as limit:
        pass
    assert not limit.cancelled_caught


async def t4_what_is_ready_before_the_deadline_is_not_lost(silent: int) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"!")
        with within.timeout(60):
            await current().wait_readable(reading)
            await current().wait_writable(writing)
    finally:
        os.close(reading)
        os.close(writing)


async def t7_of_two_expired_blocks_the_outer_one_raises(silent: int) -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        with within.timeout(0) as outer, within.timeout(0) as inner:
            await never(silent)
    assert raised.value.scope is outer
    assert (inner.expired, inner.cancelled_caught) == (True, False)


async def t11_a_deadline_can_be_moved_until_it_has_passed(silent: int) -> None:
    with within.move_on_after(None) as limit:
        limit.reschedule(within.current_time())
        await never(silent)
    assert limit.cancelled_caught
    with within.move_on_after(0) as limit:
        assert limit.expired
        with pytest.raises(RuntimeError, match="already expired"):
            limit.reschedule(None)


async def t12_cancel_ends_the_block(silent: int) -> None:
    early = within.move_on_after(60)
    early.cancel()
    with early:
        await never(silent)
    with within.move_on_after(60) as limit:
        limit.cancel()
        await never(silent)
    assert early.cancelled_caught
    assert limit.cancelled_caught


async def t14_a_shield_holds_off_what_is_around_it(silent: int) -> None:
    with within.move_on_after(0) as outer:
        with within.shield(0.001) as inner:
            assert within.current_effective_deadline() == inner.deadline
            await never(silent)
        assert inner.cancelled_caught
        assert not outer.cancelled_caught
        await never(silent)
    assert outer.cancelled_caught


async def t17_the_nearest_deadline_is_in_force(silent: int) -> None:
    assert within.current_effective_deadline() == math.inf
    with within.timeout(5) as near, within.timeout(60):
        assert within.current_effective_deadline() == near.deadline
        near.cancel()
        assert within.current_effective_deadline() == -math.inf


async def t20_another_thread_has_no_loop(silent: int) -> None:
    raised: list[RuntimeError] = []

    def look() -> None:
        try:
            current()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len(raised) == 1
    assert current().is_running_here()


@pytest.mark.parametrize(
    "program",
    [
        a_deadline_ends_its_block,
        t3_a_block_that_does_not_wait_again_is_in_time,
        t4_what_is_ready_before_the_deadline_is_not_lost,
        t7_of_two_expired_blocks_the_outer_one_raises,
        t11_a_deadline_can_be_moved_until_it_has_passed,
        t12_cancel_ends_the_block,
        t14_a_shield_holds_off_what_is_around_it,
        t17_the_nearest_deadline_is_in_force,
        t20_another_thread_has_no_loop,
    ],
)
def test_blocks(
    program: Callable[[int], Coroutine[Any, Any, None]], silent: int
) -> None:
    run(program(silent))


def test_it_is_the_innermost_loop_in_a_task_of_another() -> None:
    import asyncio

    async def inside() -> str:
        return current().name

    async def outside() -> tuple[str, str]:
        return run(inside()), current().name

    assert asyncio.run(outside()) == ("none", "asyncio")


def test_a_task_of_another_loop_is_refused() -> None:
    import asyncio

    with pytest.raises(RuntimeError, match="not of this loop"):
        run(asyncio.sleep(0))
