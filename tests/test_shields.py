"""T14, T15: a deadline waits while the task is in a shield, ours or anyio's."""

from __future__ import annotations

import asyncio
import math

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time, this_task

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


async def test_t14_an_enclosing_deadline_waits_for_the_shield(ticks: Ticks) -> None:
    reached = []
    with within.move_on_after(ticks.short) as limit:
        with within.shield() as shield:
            await ticks.pass_by()
            reached.append("in the shield")
        reached.append("after it")
        await anyio.lowlevel.checkpoint()
        reached.append("too far")
    assert reached == ["in the shield", "after it"]
    assert limit.cancelled_caught
    assert not shield.expired


async def test_t14_the_shields_own_deadline_counts(ticks: Ticks) -> None:
    with within.move_on_after(0) as limit:
        with within.shield(ticks.short) as shield:
            await anyio.sleep(ticks.long)
        assert shield.cancelled_caught
        await anyio.lowlevel.checkpoint()
        pytest.fail("the outer block should have been cancelled")
    assert limit.cancelled_caught


async def test_t14_a_shield_holds_off_anyio_scopes(ticks: Ticks) -> None:
    reached = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        with within.timeout(ticks.long, shield=True):
            await anyio.sleep(ticks.short)
            reached.append("in the shield")
        await anyio.lowlevel.checkpoint()
        reached.append("too far")
    assert reached == ["in the shield"]


def test_t14_a_shield_does_not_hold_off_task_cancel(run_asyncio: Run) -> None:
    async def main() -> None:
        async def victim() -> None:
            with within.shield():
                await asyncio.sleep(NEVER)

        child = asyncio.create_task(victim())
        await asyncio.sleep(0)
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child

    run_asyncio(main())


def test_t15_a_deadline_waits_for_a_shielded_anyio_scope_in_the_block(
    run_asyncio: Run,
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

    run_asyncio(main())


def test_t15_a_shielded_anyio_scope_around_the_block_changes_nothing(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        with anyio.CancelScope(shield=True):
            with within.move_on_after(SHORT) as limit:
                with anyio.CancelScope():
                    await asyncio.sleep(NEVER)
            assert limit.cancelled_caught

    run_asyncio(main())


def test_t15_anyio_keeps_its_scopes_where_we_read_them(run_asyncio: Run) -> None:
    """If this fails, a release of anyio has moved what ``_asyncio/_anyio.py`` reads."""

    async def main() -> None:
        from within._backends._asyncio import _anyio

        task = this_task()
        assert _anyio.innermost(task) is None
        with anyio.CancelScope() as outer, anyio.CancelScope(shield=True) as inner:
            assert _anyio.innermost(task) is inner
            assert inner._parent_scope is outer  # type: ignore[attr-defined]
            outer.cancel()
            assert "ancel" in outer._cancel_reason  # type: ignore[attr-defined]
            assert _anyio.is_shielded(task, outer)
            assert not _anyio.is_shielded(task, inner)

    run_asyncio(main())
