"""What only asyncio has: counted cancellation, timers, contexts, eager tasks.

Synchronous tests run a loop of their own, each on asyncio and on uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import math
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest
import uvloop

import within
from within.testing._asyncio_loop import VirtualTimeLoop

NEVER = 1e6
SHORT = 0.005

FACTORIES: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop, VirtualTimeLoop]


@pytest.fixture(params=FACTORIES, ids=["asyncio", "uvloop", "virtual"])
def run(request: pytest.FixtureRequest) -> Any:
    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


def task() -> asyncio.Task[Any]:
    found = asyncio.current_task()
    assert found is not None
    return found


# -- T6 ----------------------------------------------------------------------


def test_t6_a_foreign_cancel_leaves_the_block(run: Any) -> None:
    async def main() -> None:
        async def victim(limit: within.Timeout) -> None:
            with limit:
                await asyncio.sleep(NEVER)

        for delay in (NEVER, 0):
            limit = within.timeout(delay)
            child = asyncio.create_task(victim(limit))
            await asyncio.sleep(0)
            child.cancel("mine")
            with pytest.raises(asyncio.CancelledError):
                await child
            assert not limit.cancelled_caught
            assert child.cancelled()

    run(main())


def test_t6_both_in_one_tick_in_either_order(run: Any) -> None:
    async def main() -> None:
        async def victim(limit: within.Timeout) -> int:
            with limit:
                await asyncio.sleep(NEVER)
            return task().cancelling()

        for ours_first in (True, False):
            limit = within.move_on_after(NEVER)
            child = asyncio.create_task(victim(limit))
            await asyncio.sleep(0)
            acts = [limit.cancel, child.cancel]
            for act in acts if ours_first else reversed(acts):
                act()
            with pytest.raises(asyncio.CancelledError):
                await child
            assert child.cancelling() == 1
            assert not limit.cancelled_caught

    run(main())


def test_t6_a_cancelled_error_that_nobody_asked_for_passes(run: Any) -> None:
    async def main() -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            with within.timeout(0):
                await other

    run(main())


# -- T4 ----------------------------------------------------------------------


@pytest.mark.parametrize("completed", ["before", "in the tick"])
def test_t4_a_completed_await_keeps_its_result(run: Any, completed: str) -> None:
    async def main() -> None:
        for _ in range(50):
            result = asyncio.get_running_loop().create_future()
            got = []

            async def victim(
                limit: within.Timeout,
                result: asyncio.Future[int] = result,
                got: list[int] = got,
            ) -> None:
                with limit:
                    got.append(await result)
                    await asyncio.sleep(NEVER)

            limit = within.move_on_after(NEVER)
            child = asyncio.create_task(victim(limit))
            await asyncio.sleep(0)
            if completed == "before":
                result.set_result(1)
                limit.cancel()
            else:
                limit.reschedule(within.current_time() + SHORT)
                asyncio.get_running_loop().call_at(
                    limit.deadline or 0, result.set_result, 1
                )
            await child
            assert limit.cancelled_caught
            if completed == "before":
                assert got == [1]

    run(main())


def test_t4_a_busy_partner_does_not_starve_the_cancellation(run: Any) -> None:
    async def main() -> None:
        passes = 0
        pending: list[asyncio.Future[None]] = []

        async def partner() -> None:
            nonlocal passes
            while not victim.done():
                if pending:
                    pending.pop().set_result(None)
                passes += 1
                await asyncio.sleep(0)

        async def busy() -> None:
            with limit:
                while True:
                    pending.append(asyncio.get_running_loop().create_future())
                    await pending[-1]

        limit = within.move_on_after(NEVER)
        victim = asyncio.create_task(busy())
        other = asyncio.create_task(partner())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = passes
        limit.cancel()
        await victim
        await other
        assert limit.cancelled_caught
        assert passes - before < 20

    run(main())


def test_t4_a_waiter_that_our_deadline_has_cancelled_has_not_completed(
    run: Any,
) -> None:
    async def main() -> None:
        shared = asyncio.get_running_loop().create_future()

        async def victim(limit: within.Timeout) -> None:
            with limit:
                await shared

        deadline = within.current_time() + SHORT
        limits = [within.move_on_at(deadline) for _ in range(3)]
        await asyncio.gather(*map(victim, limits))
        assert all(limit.cancelled_caught for limit in limits)

    run(main())


def test_t4_a_task_that_is_waited_for_keeps_its_result_too(run: Any) -> None:
    async def main() -> None:
        async def child() -> str:
            return await result

        result = asyncio.get_running_loop().create_future()
        got = []

        async def victim(limit: within.Timeout) -> None:
            with limit:
                got.append(await asyncio.create_task(child()))
                await asyncio.sleep(NEVER)

        limit = within.move_on_after(NEVER)
        running = asyncio.create_task(victim(limit))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        result.set_result("data")
        limit.cancel()
        await running
        assert got == ["data"]
        assert limit.cancelled_caught

    run(main())


def test_t4_a_waiter_that_somebody_else_has_cancelled_is_their_business(
    run: Any,
) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        reached = []

        async def victim(limit: within.Timeout) -> None:
            with limit:
                try:
                    await future
                except asyncio.CancelledError:
                    reached.append("the future was cancelled")
                await asyncio.sleep(NEVER)

        limit = within.move_on_after(NEVER)
        running = asyncio.create_task(victim(limit))
        await asyncio.sleep(0)
        future.cancel()
        limit.cancel()
        await running
        assert reached == ["the future was cancelled"]
        assert limit.cancelled_caught

    run(main())


# -- T8 ----------------------------------------------------------------------


def test_t8_cancelling_is_what_it_was(run: Any) -> None:
    async def main() -> None:
        me = task()
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

    run(main())


def test_t8_nothing_is_pending_on_the_task(run: Any) -> None:
    """uncancel() of 3.11 and 3.12 leaves a cancel() that was not delivered."""

    async def main() -> None:
        me = task()
        for _ in range(10):
            with within.move_on_after(NEVER) as limit:
                limit.cancel()
            assert not me._must_cancel  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            with within.move_on_after(0):
                pass
            await asyncio.sleep(0)

    run(main())


def test_t8_the_timer_keeps_nothing_alive(run: Any) -> None:
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")

    class Canary:
        pass

    async def main() -> None:
        async def child() -> tuple[Any, ...]:
            canary = Canary()
            variable.set(canary)
            with within.timeout(NEVER) as limit:
                await asyncio.sleep(0)
            return weakref.ref(canary), weakref.ref(task()), limit.task

        canary, child_task, kept = await asyncio.create_task(child())
        await asyncio.sleep(0)
        gc.collect()
        assert (canary(), child_task(), kept) == (None, None, None)

    run(main())


def test_t8_what_stays_in_the_context_keeps_nothing_alive(run: Any) -> None:
    # The last block that was left does, until the next is entered.
    async def main() -> None:
        for _ in range(10):
            with within.timeout(NEVER):
                with within.timeout(NEVER):
                    pass
                with within.move_on_after(0):
                    await asyncio.sleep(NEVER)
        values = contextvars.copy_context().values()
        (left,) = [value for value in values if isinstance(value, within.Timeout)]
        kept = [value for value in vars(left).values() if gc.is_tracked(value)]
        assert kept == [left.parent]  # the one around it, left after it
        assert not any(map(gc.is_tracked, vars(left.parent).values()))

    run(main())


def test_t8_a_relay_of_tasks_keeps_no_chain_of_blocks(run: Any) -> None:
    # Each enters its block within that of the one before, and leaves it after it.
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

    run(main())


def test_t8_many_blocks_do_not_make_the_heap_grow(run: Any) -> None:
    async def main() -> None:
        backend: Any = asyncio.get_running_loop()._within_backend  # type: ignore[attr-defined]

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

    run(outer())


def test_t8_a_cancelled_block_leaves_no_entry_in_the_heap(run: Any) -> None:
    async def main() -> None:
        for _ in range(3):
            with within.move_on_after(NEVER) as limit:
                limit.cancel()
                await asyncio.sleep(NEVER)
        backend: Any = asyncio.get_running_loop()._within_backend  # type: ignore[attr-defined]
        assert len(backend.alarm) == len(backend.alarm._heap) == 0

    run(main())


def test_t8_a_task_of_a_coroutine_object_that_is_no_coroutine(run: Any) -> None:
    """Nothing tells of it that it is running: only that it is the current task."""

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

    run(main())


# -- T9, T10 -----------------------------------------------------------------


def test_t9_an_exception_with_a_misleading_attribute(run: Any) -> None:
    class Misleading(Exception):
        exceptions = None

        def __len__(self) -> int:
            return 0

    async def main() -> None:
        with pytest.raises(Misleading) as raised:
            with within.timeout(0):
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    raise Misleading
        assert isinstance(raised.value.__context__, within.DeadlineExceeded)

    run(main())


def test_t10_it_survives_a_trip_to_another_process() -> None:
    async def main() -> None:
        with within.timeout(0, name="nap"):
            await asyncio.sleep(NEVER)

    with pytest.raises(within.DeadlineExceeded) as raised:
        asyncio.run(main())
    back = pickle.loads(pickle.dumps(raised.value))
    assert (type(back), str(back), back.scope.name) == (
        within.DeadlineExceeded,
        str(raised.value),
        "nap",
    )
    timed_out = within.ProcessTimeout(
        "late", raised.value.scope, cmd=("ls",), timeout=1, stdout=b"out"
    )
    back = pickle.loads(pickle.dumps(timed_out))
    assert (str(back), back.cmd, back.stdout) == ("late", ("ls",), b"out")


def test_t10_the_cancellation_inside_names_the_deadline(run: Any) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT, name="connect"):
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError as error:
                assert "'connect' exceeded its limit of 0.005 s" in str(error)
                raise

    run(main())


# -- T13 ---------------------------------------------------------------------


def test_t13_without_a_loop_the_message_says_so() -> None:
    with pytest.raises(RuntimeError, match="no event loop is running"):
        within.timeout(1).__enter__()
    with pytest.raises(RuntimeError, match="no event loop is running"):
        within.current_time()


def test_t13_outside_a_task_the_message_says_so(run: Any) -> None:
    async def main() -> None:
        def callback() -> None:
            try:
                within.timeout(1).__enter__()
            except RuntimeError as error:
                said.set_result(str(error))

        said = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(callback)
        assert "outside a task" in await said

    run(main())


def test_t13_out_of_order_says_so_and_leaves_a_sound_stack(run: Any) -> None:
    async def main() -> None:
        outer, middle, inner = (within.timeout(NEVER) for _ in range(3))
        for limit in (outer, middle, inner):
            limit.__enter__()
        with pytest.raises(RuntimeError, match="before a block that was entered"):
            middle.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="before a block that was entered"):
            outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)
        assert within.current_effective_deadline() == math.inf

    run(main())


def test_t13_left_elsewhere_it_strikes_nobody(run: Any) -> None:
    async def main() -> None:
        limit = within.timeout(SHORT)

        async def enter() -> str:
            limit.__enter__()
            await asyncio.sleep(0)
            await asyncio.sleep(3 * SHORT)
            return "undisturbed"

        child = asyncio.create_task(enter())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="in another task"):
            limit.__exit__(None, None, None)
        assert await child == "undisturbed"
        assert child.cancelling() == 0

    run(main())


def test_t13_a_dropped_generator_is_nobodys_mistake(run: Any) -> None:
    async def main() -> None:
        async def numbers() -> Any:
            with within.timeout(NEVER):
                yield 1
                yield 2

        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())


def test_t13_a_dropped_shield_holds_nothing_off_any_more(run: Any) -> None:
    async def main() -> None:
        async def numbers() -> Any:
            with within.shield():
                yield 1
                yield 2

        for surroundings in (contextlib.nullcontext(), anyio.CancelScope()):
            with surroundings, within.move_on_after(SHORT) as limit:
                async for _ in numbers():
                    break
                gc.collect()
                with anyio.move_on_after(3 * SHORT):
                    await asyncio.sleep(NEVER)
            assert limit.cancelled_caught

    run(main())


def test_t13_shields_left_out_of_order_say_so(run: Any) -> None:
    async def main() -> None:
        with anyio.CancelScope():
            outer, inner = within.shield(), within.shield()
            outer.__enter__()
            inner.__enter__()
            with pytest.raises(RuntimeError, match="before a block that was entered"):
                outer.__exit__(None, None, None)
            inner.__exit__(None, None, None)

    run(main())


def test_t13_changing_it_from_another_thread_says_how_to(run: Any) -> None:
    async def main() -> None:
        with within.timeout(NEVER) as limit:
            for change in (limit.cancel, lambda: limit.reschedule(None)):
                with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
                    await asyncio.to_thread(change)
            assert await asyncio.to_thread(lambda: limit.expired) is False

    asyncio.run(main())


# -- T14, T16 ----------------------------------------------------------------


def test_t14_a_bare_cancel_cannot_be_held_off(run: Any) -> None:
    async def main() -> None:
        async def victim() -> None:
            with within.shield():
                await asyncio.sleep(NEVER)

        child = asyncio.create_task(victim())
        await asyncio.sleep(0)
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child

    run(main())


def passes_of(main: Coroutine[Any, Any, None]) -> int:
    """How often the loop goes around for it: with nothing else to run, its CPU."""

    class Loop(VirtualTimeLoop):
        passes = 0

        def _run_once(self) -> None:
            Loop.passes += 1
            super()._run_once()  # type: ignore[misc]

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
    return Loop.passes


def test_t16_a_waiter_that_refuses_costs_no_cpu() -> None:
    async def main() -> None:
        async def stubborn() -> None:
            until = within.current_time() + 1000
            while (left := until - within.current_time()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    heard.append(within.current_time())

        heard: list[float] = []
        child = asyncio.create_task(stubborn())
        with within.move_on_after(1, level=True) as limit:
            await child
            reached.append("the await was over")
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught
        assert 5 < len(heard) < 50

    reached: list[str] = []
    assert passes_of(main()) < 500
    assert reached == ["the await was over"]


def test_t16_the_task_is_struck_as_soon_as_a_refusing_waiter_is_done(run: Any) -> None:
    async def main() -> None:
        async def stubborn() -> None:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    heard.append(1)
                    if len(heard) == 4:
                        released.set()

        heard: list[int] = []
        released = asyncio.Event()
        child = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        with within.move_on_after(0, level=True):
            await child
            await asyncio.sleep(NEVER)
        assert len(heard) == 4
        assert task().cancelling() == 0

    run(main())


def test_t16_who_waits_anew_each_time_costs_no_cpu_either() -> None:
    """asyncio.Condition takes its lock back in a loop, come what may."""

    async def main() -> None:
        async def hog() -> None:
            await asyncio.sleep(1)
            async with condition:
                await asyncio.sleep(1000)

        condition = asyncio.Condition()
        child = asyncio.create_task(hog())
        with within.move_on_after(2, level=True) as limit:
            async with condition:
                await condition.wait()
        assert limit.cancelled_caught
        assert within.current_time() < 1010
        await child

    assert passes_of(main()) < 3000  # in 1000 seconds


def test_t16_clean_up_that_obeys_is_not_kept_waiting() -> None:
    """Each callback of the stack is a suspension more to be cancelled."""

    async def main() -> None:
        with within.move_on_after(1, level=True):
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(60):
                    stack.push_async_callback(asyncio.sleep, 30)
                await asyncio.sleep(NEVER)
        assert within.current_time() == 1

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_t16_who_is_struck_for_the_first_time_does_not_wait_for_who_refuses() -> None:
    async def main() -> None:
        with within.move_on_after(1) as outer:
            with anyio.CancelScope(shield=True):
                with within.move_on_after(1, level=True):
                    for _ in range(125):
                        with contextlib.suppress(asyncio.CancelledError):
                            await asyncio.sleep(1)
            left = within.current_time()
            await asyncio.sleep(NEVER)
        assert outer.cancelled_caught
        assert within.current_time() == left

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_t8_a_scope_of_anyios_left_open_in_a_shield_leaves_no_residue(
    run: Any,
) -> None:
    async def main() -> None:
        with anyio.CancelScope():
            with pytest.raises(RuntimeError, match="cancel scope"):
                with within.shield(0):
                    open_still = anyio.CancelScope()
                    open_still.__enter__()
                    await asyncio.sleep(NEVER)
            found.append(task().cancelling())
            open_still.__exit__(None, None, None)

    found: list[int] = []
    with contextlib.suppress(RuntimeError):  # anyio's scopes are in disorder by now
        run(main())
    assert found == [0]


def test_t2_a_block_entered_after_the_one_around_it_was_cancelled(run: Any) -> None:
    """A limited clean-up: its limit counts, though the outer one has had its turn."""

    async def main() -> None:
        with within.move_on_after(0) as outer:
            try:
                await asyncio.sleep(NEVER)
            finally:
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
        assert (outer.cancelled_caught, inner.expired) == (True, True)
        with within.move_on_after(0) as outer:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(NEVER)
            with within.move_on_after(SHORT) as inner:
                await asyncio.sleep(NEVER)
        assert (outer.cancelled_caught, inner.cancelled_caught) == (False, True)

    run(main())


# -- T15, T21: anyio ---------------------------------------------------------


def test_t15_a_shielded_scope_of_anyio_inside_the_block_holds_it_off(
    run: Any,
) -> None:
    async def main() -> None:
        for level in (False, True):
            reached = []
            with within.move_on_after(SHORT, level=level) as limit:
                with anyio.CancelScope(shield=True):
                    for _ in range(3):
                        await asyncio.sleep(SHORT)
                    reached.append("in the shield")
                    assert within.current_effective_deadline() == math.inf
                assert limit.expired
                reached.append("after it")
                await asyncio.sleep(NEVER)
            assert reached == ["in the shield", "after it"]
            assert limit.cancelled_caught

    run(main())


def test_t15_one_around_the_block_changes_nothing(run: Any) -> None:
    async def main() -> None:
        with anyio.CancelScope(shield=True):
            with within.move_on_after(SHORT) as limit:
                with anyio.CancelScope():
                    await asyncio.sleep(NEVER)
            assert limit.cancelled_caught

    run(main())


def test_t15_anyio_keeps_its_scopes_where_we_read_them(run: Any) -> None:
    """If this fails, a release of anyio has moved what `_asyncio_anyio` reads."""

    async def main() -> None:
        from within._backends._asyncio import _anyio as _asyncio_anyio

        assert _asyncio_anyio.innermost(task()) is None
        with anyio.CancelScope() as outer, anyio.CancelScope(shield=True) as inner:
            assert _asyncio_anyio.innermost(task()) is inner
            assert inner._parent_scope is outer  # type: ignore[attr-defined]
            outer.cancel()
            assert "ancel" in outer._cancel_reason  # type: ignore[attr-defined]
            assert _asyncio_anyio.is_shielded(task(), outer)
            assert not _asyncio_anyio.is_shielded(task(), inner)

    run(main())


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_outside", [True, False])
def test_t6_t21_a_scope_of_anyio_in_the_same_tick(
    run: Any, ours_first: bool, ours_outside: bool
) -> None:
    """Whichever is struck first, the outer one is what ends the block."""

    async def main() -> None:
        async def victim() -> str:
            with outer:
                with inner:
                    await asyncio.sleep(NEVER)
                return "after the inner one"
            return "after the outer one"

        ours, theirs = within.move_on_after(NEVER), anyio.CancelScope()
        outer, inner = (ours, theirs) if ours_outside else (theirs, ours)
        child = asyncio.create_task(victim())
        await asyncio.sleep(0)
        for cancel in (ours.cancel, theirs.cancel)[:: 1 if ours_first else -1]:
            cancel()
        assert await child == "after the outer one"
        assert outer.cancelled_caught
        assert not inner.cancelled_caught
        assert child.cancelling() == 0

    run(main())


# -- T17, T20, T21 -----------------------------------------------------------


def test_t17_two_tasks_may_share_one_context(run: Any) -> None:
    async def main() -> None:
        context = contextvars.copy_context()

        async def child(delay: float) -> None:
            with within.timeout(delay) as outer:
                await asyncio.sleep(0)
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
                assert inner.cancelled_caught
                assert within.current_effective_deadline() == outer.deadline

        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *[loop.create_task(child(NEVER + n), context=context) for n in range(3)]
        )

    run(main())


def test_t17_only_while_the_block_is_open(run: Any) -> None:
    async def main() -> None:
        seen: list[float] = []

        async def look() -> None:
            for _ in range(2):
                seen.append(within.current_effective_deadline())
                with within.timeout(None):
                    await asyncio.sleep(0)

        with within.timeout_at(NEVER * 10):
            with within.timeout_at(NEVER):
                child = asyncio.create_task(look())
                await asyncio.sleep(0)
            await child
        assert seen == [NEVER, NEVER * 10]

    run(main())


def test_t17_a_chain_of_tasks_does_not_grow(run: Any) -> None:
    """Each is started in a block of the one before, which is left thereafter."""

    async def main() -> None:
        first: list[weakref.ref[Any]] = []

        async def link(left: int) -> None:
            with within.timeout(NEVER) as limit:
                if not first:
                    first.append(Ref(limit))
                following = asyncio.create_task(link(left - 1)) if left else None
                await asyncio.sleep(0)
            if following is not None:
                tasks.append(following)

        tasks: list[asyncio.Task[None]] = [asyncio.create_task(link(20))]
        while tasks:
            await tasks.pop()
        depth, scope = 0, None
        with within.timeout(NEVER) as limit:
            scope = limit.parent
            while scope is not None:
                depth, scope = depth + 1, scope.parent
        assert depth == 0

    class Ref(list[Any]):
        def __init__(self, limit: within.Timeout) -> None:
            super().__init__([id(limit)])

    run(main())


@pytest.mark.parametrize("loops", [4])
def test_t20_many_loops_in_many_threads_at_once_and_in_turn(loops: int) -> None:
    failures: list[BaseException] = []

    def work(factory: Any) -> None:
        async def main() -> None:
            async def child() -> None:
                with within.move_on_after(SHORT) as inner:
                    await asyncio.sleep(NEVER)
                assert inner.cancelled_caught

            with within.timeout(NEVER):
                await asyncio.gather(*[child() for _ in range(20)])

        try:
            for _ in range(3):
                with asyncio.Runner(loop_factory=factory) as runner:
                    runner.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(factory,))
        for factory in FACTORIES[:2]
        for _ in range(loops // 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("factory", FACTORIES)
def test_t20_a_closed_loop_is_not_kept_alive(factory: Any) -> None:
    async def main() -> tuple[weakref.ref[Any], within.Timeout]:
        with within.timeout(NEVER) as limit:
            await asyncio.sleep(0)
        return weakref.ref(asyncio.get_running_loop()), limit

    with asyncio.Runner(loop_factory=factory) as runner:
        loop, limit = runner.run(main())
    del runner
    gc.collect()
    assert loop() is None
    assert limit.expired is False


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_t21_eager_tasks(run: Any) -> None:
    async def main() -> None:
        def eager(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
            # Not asyncio.eager_task_factory: that of 3.13.0 refuses uvloop.
            return asyncio.Task(coro, loop=loop, **(options | {"eager_start": True}))

        asyncio.get_running_loop().set_task_factory(eager)
        cancelled = within.move_on_after(NEVER)

        async def child() -> str:
            assert within.current_effective_deadline() == cancelled.deadline
            with within.timeout(NEVER):
                # Our parent is on the stack below us, and not suspended.
                cancelled.cancel()
            return "done"

        with cancelled:
            assert await asyncio.create_task(child()) == "done"
        assert not cancelled.cancelled_caught
        assert not task()._must_cancel  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        with within.move_on_after(SHORT) as limit:
            await asyncio.create_task(asyncio.sleep(NEVER))
        assert limit.cancelled_caught

    run(main())


def test_t21_with_asyncio_timeout_either_way_around(run: Any) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded):
            with within.timeout(SHORT):
                async with asyncio.timeout(NEVER):
                    await asyncio.sleep(NEVER)
        with within.timeout(NEVER) as limit:
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(SHORT):
                    await asyncio.sleep(NEVER)
            assert not isinstance(raised.value, within.DeadlineExceeded)
        with within.timeout(NEVER) as limit:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(NEVER), SHORT)
        assert not limit.expired
        with within.move_on_after(SHORT) as limit:
            await asyncio.wait_for(asyncio.sleep(NEVER), NEVER)
        assert limit.cancelled_caught
        assert task().cancelling() == 0

    run(main())


def test_t21_with_task_groups_either_way_around(run: Any) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT) as limit:
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(NEVER))
        assert limit.cancelled_caught
        assert child.cancelled()
        async with asyncio.TaskGroup() as group:
            with within.move_on_after(SHORT) as limit:
                group.create_task(asyncio.sleep(0))
                await asyncio.sleep(NEVER)
        assert limit.cancelled_caught

    run(main())


def test_t1_uvloop_is_never_early() -> None:
    """Its timers count in milliseconds, rounded to the nearest."""

    async def main() -> None:
        for n in range(20):
            with within.move_on_after(0.0005 + n / 7000) as limit:
                await asyncio.sleep(NEVER)
            assert within.current_time() >= (limit.deadline or math.inf)
            assert limit.cancelled_caught

    uvloop.run(main())


def test_t2_a_deadline_that_passed_while_the_loop_was_busy(run: Any) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT) as limit:
            time.sleep(2 * SHORT)
            await asyncio.sleep(NEVER)
        assert limit.cancelled_caught

    asyncio.run(main())
    uvloop.run(main())
