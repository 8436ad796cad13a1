"""Virtual time is exact and keeps the order of events; each run has its own clock."""

from __future__ import annotations

import asyncio
import functools
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, cast

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import example, given, strategies as st
from virtual_runs import LOOPS, each_loop, virtually

import within
from within.testing import backends, virtual_clock
from within.testing._asyncio_loop import VirtualTimeLoop

starts = st.sampled_from([0.0, 1e9, 1e15 / 3, -1.0, -1e9 / 7])
seconds = st.floats(0, 1e6)


# -- exact and in order -------------------------------------------------------


@each_loop
@given(start=starts, naps=st.lists(seconds, min_size=1, max_size=8))
@example(start=-1.0, naps=[0.7, 10 / 3])  # adding differences up would be wrong here
def test_v2_sleepers_wake_in_order_and_exactly_on_time(
    loop: str, start: float, naps: list[float]
) -> None:
    woken: list[tuple[float, float]] = []

    async def sleeper(nap: float) -> None:
        await anyio.sleep(nap)
        woken.append((within.current_time(), start + nap))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for nap in naps:
                group.start_soon(sleeper, nap)

    virtually(loop, main, start=start)
    assert [now for now, due in woken] == [due for now, due in woken]
    assert [now for now, due in woken] == sorted(start + nap for nap in naps)


@each_loop
@given(start=starts, naps=st.lists(seconds, max_size=8))
def test_v2_sleeps_and_advances_add_up_like_floats(
    loop: str, start: float, naps: list[float]
) -> None:
    async def main() -> list[float]:
        shown = [virtual_clock().now]
        for index, nap in enumerate(naps):
            if index % 2:
                virtual_clock().advance(nap)
            else:
                await anyio.sleep(nap)
            shown.append(virtual_clock().now)
        return shown

    assert virtually(loop, main, start=start) == list(accumulate(naps, initial=start))


@pytest.mark.parametrize("now", [-1.0, -4.0, 0.0, 1.0, 2.0**52, 1e15 / 3])
def test_v2_no_timer_is_early_by_even_one_step_of_the_clock(now: float) -> None:
    if sys.version_info >= (3, 15) and now in (-1.0, -4.0):
        pytest.skip(
            "3.15 runs timers within math.ulp(now), here two steps of the clock"
        )
    due = math.nextafter(now, math.inf)

    async def main() -> list[float]:
        loop, rang = asyncio.get_running_loop(), list[float]()
        loop.call_at(due, lambda: rang.append(loop.time()))
        await asyncio.sleep(0)  # one pass of the loop, in which the clock stands still
        await asyncio.sleep(1)
        return rang

    assert virtually("asyncio", main, start=now) == [due]


@each_loop
def test_v2_a_sleep_lost_to_rounding_does_not_hang(loop: str) -> None:
    async def main() -> float:
        for _ in range(10):
            await anyio.sleep(1)
        return virtual_clock().now

    assert virtually(loop, main, start=1e17) == 1e17


@each_loop
def test_v2_a_deadline_may_be_the_largest_float(loop: str) -> None:
    async def main() -> list[float]:
        shown = list[float]()
        for deadline in (1e9, 1e308, sys.float_info.max):
            with within.move_on_at(deadline):
                await anyio.sleep_forever()
            shown.append(virtual_clock().now)
        return shown

    assert virtually(loop, main) == [1e9, 1e308, sys.float_info.max]


def test_v2_a_timer_in_the_past_does_not_turn_the_clock_back() -> None:
    async def main() -> float:
        rang = asyncio.Event()
        asyncio.get_running_loop().call_at(-100.0, rang.set)
        await rang.wait()
        return virtual_clock().now

    assert virtually("asyncio", main, start=5) == 5


# -- a clock for each run ------------------------------------------------------


async def an_hour() -> tuple[float, float]:
    began = virtual_clock().now
    await anyio.sleep(3600)
    return began, virtual_clock().now


@pytest.mark.parametrize("backend", backends(virtual_time=True, start=7))
def test_v2_each_run_starts_at_its_start_time(
    backend: tuple[str, dict[str, Any]],
) -> None:
    name, options = backend
    for _ in range(3):
        assert anyio.run(an_hour, backend=name, backend_options=options) == (7, 3607)


@pytest.mark.parametrize("backend", backends(virtual_time=True))
def test_v2_runs_in_two_threads_do_not_share_a_clock(
    backend: tuple[str, dict[str, Any]],
) -> None:
    both = threading.Barrier(2)

    async def main(nap: float) -> float:
        both.wait()  # until the other loop runs too
        for _ in range(10):
            await anyio.sleep(nap)
        return virtual_clock().now

    def in_thread(nap: float) -> float:
        return anyio.run(main, nap, backend=backend[0], backend_options=backend[1])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(in_thread, [1, 1000])) == [10, 10_000]


def test_v2_a_loop_that_runs_twice_keeps_its_time() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(an_hour()) == (0, 3600)
        assert runner.run(an_hour()) == (3600, 7200)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")
def test_v2_eager_tasks_keep_virtual_time() -> None:
    async def main() -> list[Any]:
        factory = asyncio.eager_task_factory  # type: ignore[attr-defined]
        asyncio.get_running_loop().set_task_factory(factory)
        tasks = [asyncio.create_task(an_hour()) for _ in range(2)]
        return [await task for task in tasks]

    assert virtually("asyncio", main) == [(0, 3600)] * 2


INSIDE_TRIO = """\
import asyncio, trio_asyncio, within.testing
async def main():
    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(asyncio.sleep)(3600)
    return within.testing.virtual_clock().now
assert within.testing.run(main, backend="trio", virtual_time=True) == 3600
"""


@pytest.mark.skipif(not find_spec("trio_asyncio"), reason="it is not installed")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="trio-asyncio fails on 3.14")
def test_v2_asyncio_inside_trio_keeps_its_virtual_time() -> None:
    # In a process of its own: importing trio-asyncio changes asyncio for good.
    subprocess.run([sys.executable, "-c", INSIDE_TRIO], check=True)


@each_loop
@pytest.mark.parametrize("start", [math.nan, math.inf, -math.inf, "1", True, None])
def test_v2_the_start_of_a_clock_is_a_finite_number(loop: str, start: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="start is"):
        virtually(loop, an_hour, start=start)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"virtual_time": "no"}, "virtual_time is 'no': give True or False"),
        ({"virtual_time": None}, "virtual_time is None: give True or False"),
        ({"start": "x"}, "start is 'x': give seconds as an int or a float or a"),
        ({"start": math.nan}, "start is NaN: give a number of seconds"),
    ],
)
def test_v3_wrong_arguments_are_named_in_real_time_too(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        backends(**options)
    with pytest.raises((TypeError, ValueError), match=said):
        within.testing.run(an_hour, **options)


def test_v1_uvloop_is_true_false_or_none() -> None:
    with pytest.raises(TypeError, match="uvloop is 'yes': give True, False or None"):
        backends(uvloop=cast("Any", "yes"))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("virtual_time", [False, True])
def test_v3_run_wants_a_coroutine_function_that_is_not_called_yet(
    backend: str, virtual_time: bool
) -> None:
    def run(function: Any) -> None:
        within.testing.run(function, backend=backend, virtual_time=virtual_time)

    with pytest.raises(TypeError, match="give a coroutine function without calling it"):
        run(an_hour())
    with pytest.raises(TypeError, match="whose call returns 0: give a coroutine func"):
        run(int)
    with pytest.raises(TypeError, match="function is None: give a coroutine function"):
        run(None)


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_v3_the_error_names_a_loop_that_is_not_installed(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install within\[{loop}\]"):
        within.testing.run(anyio.sleep, 0, backend=loop)


def test_v1_the_error_of_backends_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install within\[uvloop\]"):
        backends(uvloop=True)


# -- advance -------------------------------------------------------------------


@each_loop
def test_v2_t3_advance_makes_everything_due_at_once_except_finished_blocks(
    loop: str,
) -> None:
    async def sleeper(nap: float, woken: list[tuple[float, float]]) -> None:
        await anyio.sleep(nap)
        woken.append((nap, virtual_clock().now))

    async def main() -> None:
        woken: list[tuple[float, float]] = []
        async with anyio.create_task_group() as group:
            for nap in (1, 2, 3, 60):
                group.start_soon(sleeper, nap, woken)
            await anyio.sleep(0.5)
            with within.move_on_after(5) as late:
                virtual_clock().advance(timedelta(seconds=9))
            with within.move_on_after(5) as expired:
                virtual_clock().advance(9)
                await anyio.sleep(1)
        assert not late.expired
        assert expired.cancelled_caught
        assert sorted(woken) == [(1, 18.5), (2, 18.5), (3, 18.5), (60, 60)]

    virtually(loop, main)


@each_loop
@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf, 1e400, "1", True])
def test_v2_advance_accepts_only_a_finite_time_forwards(loop: str, value: Any) -> None:
    async def main() -> None:
        clock = virtual_clock()
        with pytest.raises((ValueError, TypeError), match="seconds is"):
            clock.advance(value)
        assert clock.now == 3
        clock.advance(1e308)
        with pytest.raises(ValueError, match="finite"):
            clock.advance(1e308)

    virtually(loop, main, start=3)


@each_loop
def test_v2_advance_works_only_on_the_loop_of_the_clock(loop: str) -> None:
    async def main(other: Any) -> Any:
        clock = virtual_clock()
        if other is not None:
            with pytest.raises(RuntimeError, match="not running here"):
                other.advance(1)
        with pytest.raises(RuntimeError, match="not running here"):
            await anyio.to_thread.run_sync(clock.advance, 1)
        await anyio.to_thread.run_sync(anyio.from_thread.run_sync, clock.advance, 1)
        assert clock.now == 1
        return clock

    clock = virtually(loop, functools.partial(main, None))
    for again in LOOPS:
        virtually(again, functools.partial(main, clock))
    with pytest.raises(RuntimeError, match="not running here"):
        clock.advance(1)
    assert clock.now == 1
    assert repr(clock) == "<VirtualClock now=1.0>"
    with pytest.raises(RuntimeError, match="no event loop is running here"):
        virtual_clock()
