"""T8: a block that was left leaves nothing on its task, its loop or the heap."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks, hide_from_the_collector
from timeout_runs import (
    NEVER,
    SHORT,
    Run,
    asyncio_backend,
    real_and_virtual_time,
    this_task,
)

import within
from within._timeouts._deadline import EXITED

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t8_no_reference_cycle_remains(ticks: Ticks) -> None:
    class Canary:
        pass

    async def expire() -> None:
        canary = Canary()
        with within.timeout(ticks.long) as limit:
            limit.reschedule(within.current_time() + ticks.short)
            await anyio.sleep(ticks.long)
        del canary

    async def in_time() -> None:
        canary = Canary()
        with within.timeout(ticks.long):
            await anyio.lowlevel.checkpoint()
        del canary

    gc.collect()
    gc.disable()
    try:
        await in_time()
        with contextlib.suppress(TimeoutError):
            await expire()
        # The loop holds what it has just thrown into the task.
        await anyio.lowlevel.checkpoint()
        alive = [
            found
            for found in gc.get_objects()
            if isinstance(found, Canary | within.DeadlineExceeded)
        ]
    finally:
        gc.enable()
    assert alive == []


async def test_t8_the_next_await_runs_undisturbed(ticks: Ticks) -> None:
    for _ in range(3):
        with within.move_on_after(0):
            await anyio.sleep(ticks.long)
        await anyio.lowlevel.checkpoint()
        with within.move_on_after(ticks.short):
            pass
        await ticks.pass_by()


# -- on the task -------------------------------------------------------------


def test_t8_the_count_of_cancel_requests_is_restored(run_asyncio: Run) -> None:
    async def main() -> None:
        me = this_task()
        me.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        for level in (False, True):
            with within.move_on_after(SHORT, level=level):
                with within.move_on_after(0, level=level):
                    await asyncio.sleep(NEVER)
                assert me.cancelling() == 1
                await asyncio.sleep(NEVER)
            assert me.cancelling() == 1
        me.uncancel()
        await asyncio.sleep(0)

    run_asyncio(main())


def test_t8_nothing_is_pending_on_the_task(run_asyncio: Run) -> None:
    """uncancel() of 3.11 and 3.12 does not take back an undelivered cancel()."""

    async def main() -> None:
        me = this_task()
        for _ in range(10):
            with within.move_on_after(NEVER) as limit:
                limit.cancel()
            assert not me._must_cancel  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            with within.move_on_after(0):
                pass
            await asyncio.sleep(0)

    run_asyncio(main())


def test_t8_an_anyio_scope_left_open_in_a_shield_leaves_no_residue(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        with anyio.CancelScope():
            with pytest.raises(RuntimeError, match="cancel scope"):
                with within.shield(0):
                    still_open = anyio.CancelScope()
                    still_open.__enter__()
                    await asyncio.sleep(NEVER)
            found.append(this_task().cancelling())
            still_open.__exit__(None, None, None)

    found: list[int] = []
    with contextlib.suppress(RuntimeError):  # anyio's scopes are in disorder by now
        run_asyncio(main())
    assert found == [0]


def test_t8_a_task_may_run_a_coroutine_object_of_another_type(run_asyncio: Run) -> None:
    """Such an object does not tell whether it is running; the loop does."""

    class Wrapped(Coroutine[Any, Any, None]):
        def __init__(self, inner: Coroutine[Any, Any, None]) -> None:
            self.inner = inner

        def send(self, value: Any) -> Any:
            return self.inner.send(value)

        def throw(self, *exc: Any) -> Any:
            return self.inner.throw(*exc)

        def close(self) -> None:
            self.inner.close()

        def __await__(self) -> Any:
            return self.inner.__await__()

    async def body() -> None:
        with within.move_on_after(0):
            pass
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.get_running_loop().create_task(Wrapped(body()))

    run_asyncio(main())


# -- on the loop and on the heap ----------------------------------------------


def test_t8_the_timer_keeps_nothing_alive(run_asyncio: Run) -> None:
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")

    class Canary:
        pass

    async def main() -> None:
        async def child() -> tuple[Any, ...]:
            canary = Canary()
            variable.set(canary)
            with within.timeout(NEVER) as limit:
                await asyncio.sleep(0)
            return weakref.ref(canary), weakref.ref(this_task()), limit.task

        canary, child_task, kept = await asyncio.create_task(child())
        await asyncio.sleep(0)
        gc.collect()
        assert (canary(), child_task(), kept) == (None, None, None)

    run_asyncio(main())


@pytest.mark.skipif(not hasattr(gc, "is_tracked"), reason="PyPy cannot be asked this")
def test_t8_the_block_left_in_the_context_keeps_nothing_alive(run_asyncio: Run) -> None:
    """The last block that was left stays there until the next one is entered."""

    async def main() -> None:
        for _ in range(10):
            with within.timeout(NEVER):
                with within.timeout(NEVER):
                    pass
                with within.move_on_after(0):
                    await asyncio.sleep(NEVER)
        values = contextvars.copy_context().values()
        (left,) = [value for value in values if isinstance(value, within.Timeout)]

        def kept_by(block: Any) -> list[object]:
            kept = [value for value in vars(block).values() if gc.is_tracked(value)]
            kept.remove(EXITED)  # a constant, which keeps nothing but a word
            return kept

        assert kept_by(left) == [left.parent]  # around it, and left after it
        assert kept_by(left.parent) == []

    run_asyncio(main())


def test_t8_a_relay_of_tasks_keeps_no_chain_of_blocks(run_asyncio: Run) -> None:
    """Each task starts the next one in its block, and leaves the block afterwards."""
    hide_from_the_collector()  # which runs again and again below

    async def main() -> None:
        alive: weakref.WeakSet[within.Timeout] = weakref.WeakSet()

        async def runner(
            number: int, entered: asyncio.Event, left: asyncio.Event
        ) -> None:
            gone = asyncio.Event()
            with within.timeout(NEVER) as limit:
                alive.add(limit)
                entered.set()
                await left.wait()
                if number:
                    handed_over = asyncio.Event()
                    tasks.append(
                        asyncio.create_task(runner(number - 1, handed_over, gone))
                    )
                    await handed_over.wait()
            gone.set()

        tasks: list[asyncio.Task[None]] = []
        start = asyncio.Event()
        start.set()
        await runner(20, asyncio.Event(), start)
        while tasks:
            await tasks.pop()
            gc.collect()
        assert len(alive) < 10

    run_asyncio(main())


def test_t8_many_blocks_do_not_make_the_alarms_heap_grow(run_asyncio: Run) -> None:
    async def main() -> None:
        backend = asyncio_backend()

        async def child(number: int) -> None:
            for _ in range(100):
                with within.timeout(NEVER + number):
                    await asyncio.sleep(0)

        await asyncio.gather(*map(child, range(50)))
        assert len(backend.alarm._heap) < 500
        assert len(backend.alarm) == 0
        assert backend.open_blocks.young == backend.open_blocks.old == {}
        assert len(backend.pursuits) == 0

    async def outer() -> None:
        with within.timeout(NEVER):
            pass
        await main()

    run_asyncio(outer())


def test_t8_a_cancelled_block_leaves_no_entry_in_the_alarms_heap(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        for _ in range(3):
            with within.move_on_after(NEVER) as limit:
                limit.cancel()
                await asyncio.sleep(NEVER)
        assert len(asyncio_backend().alarm) == 0
        assert len(asyncio_backend().alarm._heap) == 0

    run_asyncio(main())
