"""The alarm on real loops: coarse timers, garbage collection, stubborn waiters."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from timeout_runs import asyncio_backend

import within
from within.testing import run

NEVER = 3600.0


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def test_t2_waiting_for_a_deadline_does_not_spin(runner: asyncio.Runner) -> None:
    """uvloop fires a timer up to half a millisecond early, and then again at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        call_at, asked = loop.call_at, 0

        def counted(*args: Any, **options: Any) -> asyncio.TimerHandle:
            nonlocal asked
            asked += 1
            return call_at(*args, **options)

        loop.call_at = counted  # type: ignore[method-assign]
        delays = [number / 10_000 for number in range(1, 61)]
        for delay in delays:
            with within.move_on_after(delay) as limit:
                await asyncio.Event().wait()
            assert limit.cancelled_caught
        # asyncio may be early by the resolution of its clock, once for each timer.
        is_exact = hasattr(loop, "_clock_resolution")
        assert asked <= (2 * len(delays) if is_exact else len(delays) + 2)

    runner.run(main())


def test_t2_an_enormous_deadline_does_not_hold_up_others(
    runner: asyncio.Runner,
) -> None:
    async def far() -> None:
        with within.timeout(sys.float_info.max):
            await asyncio.Event().wait()

    async def main() -> None:
        waiting = asyncio.create_task(far())
        await asyncio.sleep(0)
        for _ in range(3):  # on uvloop, the first timer may fire early
            with within.move_on_after(0.0023) as limit:
                await asyncio.Event().wait()
            assert limit.cancelled_caught
        waiting.cancel()
        await asyncio.wait([waiting])

    runner.run(main())


def test_t2_an_error_in_one_waiters_cancel_does_not_stop_other_deadlines() -> None:
    class Stubborn(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            raise ValueError("no")

    async def main() -> None:
        reported: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        waiter = Stubborn()

        async def waits_for_it() -> None:
            with within.move_on_at(at):
                await waiter

        at = within.current_time() + 1
        first = asyncio.create_task(waits_for_it())
        await asyncio.sleep(0)
        with within.move_on_at(at) as limit:
            await asyncio.sleep(2)
        assert limit.cancelled_caught
        assert within.current_time() == at
        assert [type(error) for error in reported] == [ValueError]
        waiter.set_result(None)
        await first

    run(main, virtual_time=True)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="when the collector runs there does not depend on the count alone",
)
@pytest.mark.parametrize("pause", range(0, 200, 7))
def test_t2_garbage_collection_while_the_alarm_fires_loses_no_block(pause: int) -> None:
    """The collector closes generators, and with them leaves the blocks inside."""

    def holder() -> Iterator[None]:
        with within.timeout(NEVER):
            yield

    class Cycle:
        held: Iterator[None]
        itself: Cycle

    async def drops_it() -> None:
        cycle = Cycle()
        cycle.itself, cycle.held = cycle, holder()
        next(cycle.held)
        del cycle
        await asyncio.sleep(5)

    async def waits() -> bool:
        with within.move_on_after(2) as limit:
            await asyncio.sleep(3)
        return limit.cancelled_caught

    async def main() -> None:
        tasks = [asyncio.create_task(drops_it()) for _ in range(100)]
        with within.move_on_after(1):  # the alarm fires, so those blocks are old
            await asyncio.sleep(5)
        waiting = [asyncio.create_task(waits()) for _ in range(100)]
        await asyncio.sleep(1.5)
        gc.set_threshold(gc.get_count()[0] + pause, 1, 1)
        gc.enable()
        assert all(await asyncio.gather(*waiting))
        await asyncio.gather(*tasks)
        backend = asyncio_backend()
        assert backend.open_blocks.young == backend.open_blocks.old == {}
        assert len(backend.alarm._heap) <= 64 + 2

    before = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        run(main, virtual_time=True)
    finally:
        gc.set_threshold(*before)
        gc.enable()


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_a_loop_that_cannot_be_imported_is_not_loaded(loop: str) -> None:
    """Suites simulate a missing module with `sys.modules[name] = None`."""
    other = "asyncio" if loop == "trio" else "trio"
    program = f"""
import sys
import {loop} as loop, within
sys.modules["{other}"] = None
async def main():
    with within.move_on_after(0) as limit:
        await loop.sleep(60)
    print(limit.cancelled_caught)
loop.run(main() if "{loop}" == "asyncio" else main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "True\n"
