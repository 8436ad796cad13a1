"""A third party adds a loop by one call of ``within._backends.register()``.

The tests run in processes of their own, because a registration cannot be taken back.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import toy_loop

import within
from within._backends import current

HERE = Path(__file__).parent


async def t1_t2_a_quiet_block_ends_at_its_deadline() -> None:
    with within.move_on_after(2) as limit:
        await toy_loop.sleep(1)
        assert within.current_time() == 1
        await toy_loop.sleep(10)
    assert limit.cancelled_caught
    assert within.current_time() == 2


async def t3_a_block_that_ends_in_time_is_undisturbed() -> None:
    with within.timeout(2) as limit:
        await toy_loop.sleep(1)
    await toy_loop.sleep(10)
    assert (limit.expired, within.current_time()) == (False, 11)


async def t7_of_two_expired_blocks_the_outer_one_raises() -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        with within.timeout(1) as outer, within.timeout(1) as inner:
            await toy_loop.sleep(10)
    assert raised.value.scope is outer
    assert (inner.expired, inner.cancelled_caught) == (True, False)


async def t9_the_cancellation_is_taken_out_of_a_group() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        with within.timeout(1):
            try:
                await toy_loop.sleep(10)
            except toy_loop.Cancelled as error:
                raise BaseExceptionGroup("both", [error, KeyError()]) from None
    assert [type(error) for error in raised.value.exceptions] == [KeyError]


async def t10_the_error_names_the_block_and_its_limit() -> None:
    with pytest.raises(
        within.DeadlineExceeded, match="'nap' exceeded its limit of 2 s"
    ):
        async with within.timeout(2, name="nap"):
            await toy_loop.sleep(10)


async def t11_t12_a_deadline_moves_and_a_block_can_be_cancelled() -> None:
    with within.move_on_after(1) as limit:
        limit.reschedule(5)
        await toy_loop.sleep(10)
    assert (limit.cancelled_caught, within.current_time()) == (True, 5)
    with within.move_on_after(1) as limit:
        limit.cancel()
        await toy_loop.sleep(0)
    assert (limit.cancelled_caught, within.current_time()) == (True, 5)


async def t13_a_block_left_out_of_order_is_an_error() -> None:
    outer, inner = within.timeout(1), within.timeout(1)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="out of order"):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    await toy_loop.sleep(10)


async def t14_an_enclosing_deadline_waits_for_the_shield() -> None:
    with within.move_on_after(1) as limit:
        with within.shield():
            await toy_loop.sleep(2)
        await toy_loop.sleep(10)
    assert (limit.cancelled_caught, within.current_time()) == (True, 2)


async def t17_the_nearest_deadline_is_in_force() -> None:
    assert within.current_effective_deadline() == math.inf
    with within.timeout(5) as outer, within.timeout(9):
        assert within.current_effective_deadline() == outer.deadline == 5
        with within.shield():
            assert within.current_effective_deadline() == math.inf
        outer.cancel()
        assert within.current_effective_deadline() == -math.inf


async def each_task_has_its_own_blocks() -> None:
    async def child() -> None:
        with within.move_on_after(2) as limit:
            await toy_loop.sleep(10)
        ended.append((limit.cancelled_caught, within.current_time()))

    ended: list[tuple[bool, float]] = []
    toy_loop.start(child())
    with within.move_on_after(1):
        await toy_loop.sleep(10)
    ended.append((True, within.current_time()))
    await toy_loop.sleep(5)
    assert ended == [(True, 1), (True, 2)]


async def asyncio_run_in_a_task_of_the_loop() -> None:
    async def main() -> str:
        with within.move_on_after(0.001):
            await asyncio.sleep(10)
        return current().name

    assert current().name == "toy"
    assert asyncio.run(main()) == "asyncio"
    assert current().name == "toy"


SCENES: list[Callable[[], Coroutine[Any, Any, None]]] = [
    t1_t2_a_quiet_block_ends_at_its_deadline,
    t3_a_block_that_ends_in_time_is_undisturbed,
    t7_of_two_expired_blocks_the_outer_one_raises,
    t9_the_cancellation_is_taken_out_of_a_group,
    t10_the_error_names_the_block_and_its_limit,
    t11_t12_a_deadline_moves_and_a_block_can_be_cancelled,
    t13_a_block_left_out_of_order_is_an_error,
    t14_an_enclosing_deadline_waits_for_the_shield,
    t17_the_nearest_deadline_is_in_force,
    each_task_has_its_own_blocks,
    asyncio_run_in_a_task_of_the_loop,
]


def run_in_a_process_of_its_own(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def tracebacks() -> dict[str, str]:
    """Run all scenes, in one process. Return by name how each of them failed."""
    program = """
import json, test_third_party_backend as here, toy_loop, traceback, within._backends
within._backends.register("toy_loop", "toy_backend")
failed = {}
for scene in here.SCENES:
    try:
        toy_loop.run(scene())
    except BaseException:
        failed[scene.__name__] = traceback.format_exc()
print(json.dumps(failed))
"""
    return dict(json.loads(run_in_a_process_of_its_own(program)))


@pytest.mark.parametrize("scene", [scene.__name__ for scene in SCENES])
def test_on_a_registered_loop(scene: str) -> None:
    if scene in tracebacks():
        pytest.fail(tracebacks()[scene])


def test_the_backend_is_imported_after_its_loop() -> None:
    program = """
import asyncio, sys, within
within._backends.register("toy_loop", "toy_backend")

async def main():
    with within.move_on_after(0):
        await asyncio.sleep(1)
    print("toy_backend" in sys.modules)
    import toy_loop
    print(within._backends.current().name, "toy_backend" in sys.modules)

asyncio.run(main())
"""
    assert run_in_a_process_of_its_own(program) == "False\nasyncio True\n"


def test_without_registration_the_loop_is_unknown() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="no event loop is running"):
            within.current_time()

    toy_loop.run(main())
