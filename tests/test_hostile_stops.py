"""Stops that take their time: what they cost, and how they are cancelled (P3, P4)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import anyio
import pytest
from children import FOREVER, QUICK, alive, line, needs_members

import within
import within.testing
from within import Stop, process

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

GRACE = 0.4  # seconds
STUBBORN = f"trap '' TERM; echo ready; exec sleep {FOREVER}"

# The process that does not exit: the child, a member of its group, one that left it.
WHO = {
    "child": STUBBORN,
    "member": f"({STUBBORN}) & read -r word",
    "leaver": "setsid sh -c '{}' & read -r word".format(STUBBORN.replace("''", '""')),
}

# Without a way to find the members, only the child itself is waited for.
WAITED_FOR = [
    "child",
    *(pytest.param(who, marks=needs_members) for who in list(WHO)[1:]),
]


async def stubborn(who: str) -> within.Process:
    stop = Stop(grace=GRACE, tree="all" if who == "leaver" else "group")
    child = await process("sh", "-c", WHO[who], stop=stop)
    assert await line(child) == "ready"
    return child


@contextlib.contextmanager
def next_to_no_cpu() -> Iterator[None]:
    """It takes the grace and not much more, and next to nothing of the processor."""
    began, used = time.monotonic(), time.process_time()
    try:
        yield
    finally:
        elapsed = time.monotonic() - began
        assert GRACE <= elapsed < GRACE + 10  # a bound for any load
        # Polling without a pause takes all of it. What the stop itself does, some looks
        # at every process, costs more where the machine is busy, and all takes longer.
        assert time.process_time() - used < 0.6 * elapsed


@pytest.mark.parametrize("who", WAITED_FOR)
async def test_p4_waiting_for_a_stubborn_one_costs_nothing(who: str) -> None:
    child = await stubborn(who)
    with next_to_no_cpu():
        await child.aclose()


@pytest.mark.parametrize("who", WAITED_FOR)
async def test_p3_waiting_costs_nothing_in_a_scope_that_keeps_cancelling(
    who: str,
) -> None:
    """anyio's scopes do that on asyncio, in each pass of the loop."""
    child = await stubborn(who)
    with anyio.CancelScope() as scope:
        async with child:
            scope.cancel()
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep_forever()
            with next_to_no_cpu():
                await child.aclose()
    assert child.returncode is not None


@pytest.mark.parametrize("level", [False, True])
async def test_p3_waiting_costs_nothing_under_a_limit_of_ours_that_has_passed(
    level: bool,
) -> None:
    child = await stubborn("child")
    with within.move_on_after(0, level=level) as limit:
        with contextlib.suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()
        with next_to_no_cpu():
            await child.aclose()
        await anyio.sleep(0)
    assert limit.expired
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_p3_cancelled_at_every_pass_the_sequence_is_the_same(loop: str) -> None:
    """No step is left out, cut short or taken twice, however often it is cancelled."""
    sent: list[int] = []

    async def victim() -> None:
        child = await stubborn("child")
        child._child.on_signal = sent.append
        running.set()
        began = time.monotonic()
        try:
            await child.aclose()
        finally:
            assert GRACE <= time.monotonic() - began < GRACE + 10

    async def main() -> None:
        task = asyncio.ensure_future(victim())
        await running.wait()
        cancellations = 0
        while not task.done():
            task.cancel(f"number {cancellations}")
            cancellations += 1
            await asyncio.sleep(0 if cancellations < 500 else 0.02)
        assert task.cancelled()
        assert cancellations > 10

    running = asyncio.Event()
    within.testing.run(main, backend=loop)
    assert sent == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("flood", ["yes", "yes >&2", "yes & yes >&2"])
async def test_p4_a_stubborn_flood_is_ended_in_a_scope_that_cancels(flood: str) -> None:
    """It never waits for us nor we for it, and other tasks get their turns."""
    script = f"trap '' TERM; echo $$; {flood}"
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        with anyio.CancelScope() as scope:
            async with process(
                "sh", "-c", script, stderr=subprocess.PIPE, stop=QUICK
            ) as child:
                pid = int(await line(child))
                turns, began = 0, time.monotonic()
                scope.cancel()
        assert time.monotonic() - began < 10  # a bound for any load
        tasks.cancel_scope.cancel()
    assert turns > 0
    assert child.returncode == -signal.SIGKILL
    assert not alive(pid)


async def test_p4_the_whole_sequence_has_an_end() -> None:
    """Each step takes its time and no more, in a task that waits for none of them."""
    script = f"trap '' TERM INT; echo ready; exec sleep {FOREVER}"
    stop = Stop(close_stdin=0.1, signal=signal.SIGINT, grace=0.2)
    sent: list[int] = []
    child = await process("sh", "-c", script, stop=stop)
    assert await line(child) == "ready"
    child._child.on_signal = sent.append
    began = time.monotonic()
    await child.aclose()
    assert 0.3 <= time.monotonic() - began < 10  # a bound for any load
    assert sent == [signal.SIGINT, signal.SIGKILL]
    assert child.returncode == -signal.SIGKILL
