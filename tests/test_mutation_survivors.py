"""Rules that mutations have broken unnoticed: each example here catches one of them."""

from __future__ import annotations

import asyncio
import contextvars
import dis
import math
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import anyio
import pytest

import within
from within.testing import run

LIMIT = 1.0
NEVER = 3600.0

Main = Callable[[], Coroutine[Any, Any, Any]]


def virtually(main: Main, backend: str = "asyncio") -> Any:
    return run(main, backend=backend, virtual_time=True)


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def open_blocks() -> list[Any]:
    """The blocks that any task of the running loop has open."""
    if "trio" in sys.modules and within._backends.current().name == "trio":
        return []
    state = asyncio.get_running_loop()._within_backend.open_blocks  # type: ignore[attr-defined]
    return [*state.young.values(), *state.old.values()]


# -- T7 ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t7_a_limit_on_the_clean_up_ends_only_the_clean_up(backend: str) -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded) as raised:
            with within.timeout(LIMIT) as outer:
                try:
                    await anyio.sleep(NEVER)
                finally:
                    with within.shield(LIMIT) as clean_up:
                        await anyio.sleep(NEVER)
                    assert clean_up.cancelled_caught
                    assert within.current_time() == start + 2 * LIMIT
        assert raised.value.scope is outer

    async def with_start() -> None:
        nonlocal start
        start = within.current_time()
        await main()

    start = 0.0
    virtually(with_start, backend)


def test_t7_a_limit_without_a_shield_ends_only_the_clean_up_on_asyncio() -> None:
    """On asyncio a block cancels once. On trio the clean-up is cancelled at once."""

    async def main() -> None:
        after = 0.0
        with within.move_on_after(LIMIT) as outer:
            try:
                await asyncio.sleep(NEVER)
            finally:
                with within.move_on_after(LIMIT) as clean_up:
                    await asyncio.sleep(NEVER)
                after = within.current_time()
        assert clean_up.cancelled_caught
        assert outer.cancelled_caught
        assert after == 2 * LIMIT

    virtually(main)


def test_t7_a_block_that_was_open_when_the_outer_one_was_told_is_skipped() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(LIMIT) as outer:
            with within.move_on_after(2 * LIMIT) as inner:
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    await asyncio.sleep(NEVER)
            reached.append("after the inner block")
        assert reached == []
        assert not inner.cancelled_caught
        assert outer.cancelled_caught
        assert within.current_time() == 2 * LIMIT

    virtually(main)


def test_t7_t14_what_ends_a_shield_is_its_own_deadline() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(LIMIT) as outer:
            with within.shield(2 * LIMIT) as shield:
                await asyncio.sleep(NEVER)
            reached.append(within.current_time())
            await asyncio.sleep(NEVER)
        assert shield.cancelled_caught
        assert outer.cancelled_caught
        assert reached == [2 * LIMIT]

    virtually(main)


def test_t7_a_cancellation_that_is_handed_on_is_not_repeated() -> None:
    async def main() -> None:
        reached = []
        with within.move_on_after(None) as outer:
            try:
                with within.move_on_after(LIMIT) as inner:
                    try:
                        await asyncio.sleep(NEVER)
                    finally:
                        outer.cancel()
            finally:
                await asyncio.sleep(LIMIT)
                reached.append(within.current_time())
        assert not inner.cancelled_caught
        assert outer.cancelled_caught
        assert reached == [2 * LIMIT]

    virtually(main)


# -- T6, T22 ----------------------------------------------------------------------


def test_t22_a_deadline_in_the_clean_up_of_another_is_no_foreign_cancellation() -> None:
    async def main() -> None:
        with pytest.raises(within.DeadlineExceeded) as raised:
            with within.timeout(2 * LIMIT) as outer:
                asyncio.get_running_loop().call_soon(this_task().cancel)
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError:
                    pass  # swallowed, but cancelling() goes on to count it
                with within.move_on_after(LIMIT):
                    try:
                        await asyncio.sleep(NEVER)
                    finally:
                        await asyncio.sleep(NEVER)
        assert raised.value.scope is outer
        assert within.current_time() == 2 * LIMIT

    virtually(main)


def test_t6_a_limit_in_a_clean_up_that_raises_a_group_lets_the_other_pass() -> None:
    async def worker() -> None:
        async with within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                try:
                    raise ExceptionGroup("two", [ValueError(), KeyError()])
                except* KeyError:
                    await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(LIMIT / 2)
        task.cancel()
        with pytest.raises(BaseExceptionGroup) as raised:
            await task
        assert raised.value.subgroup(asyncio.CancelledError)
        assert within.current_time() == LIMIT

    virtually(main)


def test_t6_a_cancellation_in_the_clean_up_of_two_limits_passes() -> None:
    async def worker() -> None:
        async with within.timeout(2 * LIMIT), within.timeout(LIMIT):
            try:
                await asyncio.sleep(NEVER)
            finally:
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    await asyncio.sleep(NEVER)

    async def main() -> None:
        task = asyncio.create_task(worker())
        await asyncio.sleep(3 * LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtually(main)


def test_t6_t15_a_cancelled_scope_outside_a_shield_takes_nothing_over() -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope, anyio.CancelScope(shield=True):
            scope.cancel()
            with within.move_on_after(LIMIT) as limit:
                await asyncio.sleep(NEVER)
            assert limit.cancelled_caught
        assert within.current_time() == LIMIT

    virtually(main)


# -- T9 ---------------------------------------------------------------------------


def chain_of(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__context__
    return chain


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t9_the_rest_of_a_group_tells_of_the_deadline_and_not_of_the_group(
    backend: str,
) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            with within.timeout(LIMIT) as limit:
                try:
                    raise ExceptionGroup("two", [ValueError(), KeyError()])
                except* KeyError:
                    await anyio.sleep(NEVER)
        first, *chain = chain_of(raised.value)
        told = [e for e in chain if isinstance(e, within.DeadlineExceeded)]
        assert [error.scope for error in told] == [limit]
        cancelled = anyio.get_cancelled_exc_class()
        for error in [first, *chain]:
            if isinstance(error, BaseExceptionGroup):
                assert error.subgroup(cancelled) is None

    virtually(main, backend)


def test_t9_a_chain_of_contexts_may_be_circular() -> None:
    async def main() -> None:
        first, second, third = ValueError(1), ValueError(2), ValueError(3)
        first.__context__, second.__context__, third.__context__ = second, third, second
        with pytest.raises(ValueError, match="1") as raised:
            with within.timeout(NEVER) as limit:
                limit.cancel()
                raise first
        assert raised.value.__context__ is second

    virtually(main)


# -- T13 --------------------------------------------------------------------------


def test_t13_a_generator_that_another_task_closes_is_nobodys_mistake() -> None:
    def generator() -> Iterator[None]:
        with within.timeout(LIMIT):
            yield

    async def main() -> None:
        suspended = generator()
        next(suspended)

        async def closes() -> None:
            suspended.close()  # type: ignore[attr-defined]

        await asyncio.create_task(closes())
        await nothing_strikes()

    virtually(main)


def test_t13_out_of_order_an_exception_is_not_replaced() -> None:
    async def main() -> None:
        outer, inner = within.timeout(NEVER), within.timeout(NEVER)
        outer.__enter__()
        inner.__enter__()
        error = ValueError()
        assert not outer.__exit__(ValueError, error, None)
        assert not inner.__exit__(ValueError, error, None)
        await nothing_strikes()

    virtually(main)


def test_t8_t13_a_block_that_was_left_wrongly_takes_its_cancellation_back() -> None:
    async def main() -> None:
        outer, inner = within.timeout(LIMIT), within.timeout(NEVER)
        outer.__enter__()
        inner.__enter__()
        with pytest.raises(asyncio.CancelledError) as raised:
            await asyncio.sleep(NEVER)
        assert this_task().cancelling() == 1
        outer.__exit__(raised.type, raised.value, None)
        assert this_task().cancelling() == 0
        inner.__exit__(raised.type, raised.value, None)
        await nothing_strikes()

    virtually(main)


# -- T23 --------------------------------------------------------------------------


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
    return frame.f_globals.get("__name__", "").startswith("within._backends._")


def is_in_timeouts(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").startswith(
        ("within._backends", "within._timeouts", "within._core")
    )


async def nothing_strikes() -> None:
    """No block is open, and none strikes later."""
    assert open_blocks() == []
    assert within.current_effective_deadline() == math.inf
    await anyio.sleep(2 * LIMIT)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t23_interrupted_at_any_bytecode_of_its_entry_a_block_is_not_open(
    backend: str,
) -> None:
    async def main() -> int:
        with within.timeout(NEVER):
            pass  # what is loaded once is loaded
        at = 0
        while True:
            limit = within.move_on_after(LIMIT)
            with interrupt(is_in_timeouts, at) as places:
                try:
                    limit.__enter__()
                except Interrupted:
                    pass
            if not places:
                limit.__exit__(None, None, None)
                return at
            await nothing_strikes()
            at += 1

    assert virtually(main, backend) > 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_t23_interrupted_at_any_bytecode_of_its_exit_a_block_is_closed(
    backend: str,
) -> None:
    async def main() -> int:
        at = 0
        while True:
            limit = within.move_on_after(LIMIT)
            limit.__enter__()
            with interrupt(is_in_backend, at) as places:
                try:
                    limit.__exit__(None, None, None)
                except Interrupted:
                    pass
            if not places:
                return at
            await nothing_strikes()
            at += 1

    assert virtually(main, backend) > 20


def test_t23_a_block_that_has_cancelled_its_task_takes_that_back() -> None:
    async def main() -> None:
        with pytest.raises(Interrupted):
            with interrupt(is_in_backend, not_yet) as places:
                with within.move_on_after(LIMIT):
                    try:
                        await asyncio.sleep(NEVER)
                    finally:
                        assert this_task().cancelling() == 1
                        sys.settrace(None)
                        with_exit.__enter__()
        with_exit.__exit__(None, None, None)
        assert places == []
        assert this_task().cancelling() == 0
        await nothing_strikes()

    not_yet = sys.maxsize
    with_exit = interrupt(lambda frame: frame.f_code.co_name == "exit", 0)
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


# -- T24 --------------------------------------------------------------------------


def test_t24_a_context_copied_into_another_loop_brings_no_deadline() -> None:
    async def elsewhere() -> list[float]:
        deadlines = [within.current_effective_deadline()]
        with within.timeout(None):
            deadlines.append(within.current_effective_deadline())
            child = asyncio.create_task(asks())
        return [*deadlines, await child]

    async def asks() -> float:
        return within.current_effective_deadline()

    async def main() -> None:
        with within.timeout(NEVER):
            found = await asyncio.to_thread(asyncio.run, elsewhere())
        assert found == [math.inf] * 3

    asyncio.run(main())


def test_t24_a_task_that_shares_a_context_does_not_inherit_its_blocks() -> None:
    async def first() -> None:
        with within.timeout(LIMIT):
            entered.set()
            await asked.wait()

    async def second() -> tuple[float, float]:
        await entered.wait()
        alone = within.current_effective_deadline()
        with within.timeout(None):
            inside = within.current_effective_deadline()
        asked.set()
        return alone, inside

    async def main() -> None:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Any]] = [
            loop.create_task(work(), context=context) for work in (first, second)
        ]
        _, found = await asyncio.gather(*tasks)
        assert found == (math.inf, math.inf)

    entered, asked = asyncio.Event(), asyncio.Event()
    if sys.version_info >= (3, 12):
        virtually(main)
