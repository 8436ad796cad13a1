"""T6, T7: which cancellation ends a block, if several were requested."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest
from conftest import Ticks
from timeout_runs import NEVER, Run, real_and_virtual_time, this_task

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t6_an_enclosing_scope_of_the_loop_wins(ticks: Ticks) -> None:
    with anyio.CancelScope() as scope, within.timeout(ticks.never) as limit:
        scope.cancel()
        await anyio.sleep(ticks.long)
    assert scope.cancelled_caught
    assert not limit.cancelled_caught


def test_t6_a_foreign_cancel_leaves_the_block(run_asyncio: Run) -> None:
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

    run_asyncio(main())


def test_t6_a_foreign_cancel_in_the_same_pass_wins_in_either_order(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        async def victim(limit: within.Timeout) -> int:
            with limit:
                await asyncio.sleep(NEVER)
            return this_task().cancelling()

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

    run_asyncio(main())


def test_t6_a_cancelled_error_without_a_cancelled_task_passes(run_asyncio: Run) -> None:
    async def main() -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            with within.timeout(0):
                await other

    run_asyncio(main())


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_outside", [True, False])
def test_t6_t21_of_our_block_and_an_anyio_scope_the_outer_one_wins_at_a_bare_yield(
    run_asyncio: Run, ours_first: bool, ours_outside: bool
) -> None:
    async def main() -> None:
        ours, theirs = within.move_on_after(NEVER), anyio.CancelScope()
        outer, inner = (ours, theirs) if ours_outside else (theirs, ours)
        reached = []
        with outer:
            with inner:
                for cancel in (ours.cancel, theirs.cancel)[:: 1 if ours_first else -1]:
                    cancel()
                await asyncio.sleep(0)
            reached.append("after the inner one")
        assert reached == []
        assert outer.cancelled_caught
        assert this_task().cancelling() == 0

    run_asyncio(main())


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_outside", [True, False])
def test_t6_t21_of_our_block_and_an_anyio_scope_the_outer_one_wins(
    run_asyncio: Run, ours_first: bool, ours_outside: bool
) -> None:
    """Both are cancelled in one pass of the loop, in either order."""

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

    run_asyncio(main())


def test_t6_t21_a_task_cancel_is_not_taken_for_that_of_a_scope(
    run_asyncio: Run,
) -> None:
    """It arrives in a block that has expired, in a scope that has been cancelled."""

    async def main() -> None:
        async def victim() -> None:
            this_task().cancel()
            with anyio.CancelScope() as scope, within.move_on_after(0):
                asyncio.get_running_loop().call_soon(scope.cancel)
                await asyncio.sleep(NEVER)

        child = asyncio.create_task(victim())
        with pytest.raises(asyncio.CancelledError):
            await child

    run_asyncio(main())


def test_t6_t21_a_task_cancel_that_is_older_than_a_scope_is_not_taken_for_its_own(
    run_asyncio: Run,
) -> None:
    """It has not been delivered when ours is requested, which must keep its message."""

    async def victim() -> None:
        this_task().cancel("mine")
        with anyio.CancelScope() as scope, within.timeout(0):
            scope.cancel()
            await asyncio.sleep(0)  # a bare yield: there is no future to be cancelled

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError, match="mine"):
            await asyncio.create_task(victim())

    run_asyncio(main())


async def test_t6_t21_a_scope_that_is_cancelled_in_the_clean_up_takes_over(
    ticks: Ticks,
) -> None:
    """The clean-up swallows the cancellation of the scope, and ours goes on."""
    with anyio.CancelScope() as scope:
        with within.move_on_after(0) as limit:
            try:
                await anyio.sleep(ticks.never)
            finally:
                scope.cancel()
                with contextlib.suppress(anyio.get_cancelled_exc_class()):
                    await anyio.sleep(ticks.never)
    assert scope.cancelled_caught
    assert not limit.cancelled_caught


@pytest.mark.parametrize("inner", [0, 1])
@pytest.mark.parametrize("outer", [0, 1])
async def test_t7_of_two_expired_blocks_the_outer_one_raises(
    inner: int, outer: int, ticks: Ticks
) -> None:
    with pytest.raises(within.DeadlineExceeded) as raised:
        async with within.timeout(outer * ticks.short) as around:
            async with within.timeout(inner * ticks.short) as inside:
                with within.shield():
                    await ticks.pass_by()
                await anyio.sleep(ticks.long)
    assert raised.value.scope is around
    assert (inside.expired, inside.cancelled_caught) == (True, False)


async def test_t7_an_inner_block_that_expires_alone_raises_its_own_error(
    ticks: Ticks,
) -> None:
    async with within.timeout(ticks.long) as around:
        with pytest.raises(within.DeadlineExceeded) as raised:
            async with within.timeout(ticks.short) as inside:
                await anyio.sleep(ticks.long)
    assert raised.value.scope is inside
    assert not around.expired
