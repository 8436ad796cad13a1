"""T21: our limits and task groups, nested either way around.

A task of the group fails, or the deadline passes, or both happen in one pass of the loop.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from neighbours import (
    INSTANT,
    MANNERS,
    NEVER,
    Block,
    Stage,
    asyncio_task,
    let_pass,
    named,
    no_residue,
    played_with,
)

import within
from within.testing import run

GROUPS = ["asyncio.TaskGroup", "quattro.TaskGroup", "trio.open_nursery"]
GROUPS += ["anyio.create_task_group"]

PLACES = ["around its body", "around its end", "in its body", "in a child"]
EVENTS = ["deadline", "failure", "deadline, failure", "failure, deadline"]


def pass_deadline(limit: within.Timeout, last: bool) -> None:
    """Let the deadline pass just before or just after the group notices the task's end."""
    due = lambda *_: limit.reschedule(within.current_time())
    if (task := asyncio_task()) is None:
        # trio reads its clock after the last step of the task.
        limit.reschedule(within.current_time() + last * INSTANT)
        let_pass(last * INSTANT)
    elif last:
        task.add_done_callback(due)  # the group added its callback earlier
    else:
        asyncio.get_running_loop().call_soon(due)


async def fill(
    group: Any, place: str, block: Callable[[], Awaitable[object]], *children: Any
) -> None:
    """Start the children of a group; put the block in a child or in the group's body."""
    for child in (*children, *[block] * (place == "in a child")):
        if hasattr(group, "start_soon"):
            group.start_soon(child)
        else:
            group.create_task(child())
    if place == "in its body":
        await block()
    elif place == "around its body":
        await anyio.sleep(NEVER)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("place", PLACES)
@played_with(GROUPS)
def test_t6_t8_t19_t21_a_failure_in_a_group_is_not_taken_for_the_deadline(
    stage: Stage, name: str, place: str, events: str, manner: str
) -> None:
    limit = within.Timeout(NEVER, quiet=manner == "quiet")
    ours = Block(manner, ours=limit)
    around, fails = place.startswith("around"), "failure" in events
    happened: list[str] = []

    async def scene() -> None:
        released = anyio.Event()

        async def sibling() -> None:
            try:
                await released.wait()
            finally:
                happened.append("released" if released.is_set() else "cancelled")

        async def trigger() -> None:
            for _ in range(4):
                await anyio.lowlevel.checkpoint()
            if "deadline" in events:
                pass_deadline(limit, last=events.endswith("deadline"))
            if fails:
                raise LookupError

        async def block() -> None:
            async with no_residue():
                if await ours.ends(lambda: anyio.sleep(NEVER)):
                    happened.append("ended")
            released.set()

        async def group() -> None:
            async with named(name)() as tasks:
                await fill(tasks, place, block, sibling, trigger)

        async with no_residue(but_for=leaves):
            try:
                if not around:
                    await group()
                elif await ours.ends(group):
                    happened.append("ended")
            except BaseExceptionGroup as raised:
                happened.extend(type(error).__name__ for error in raised.exceptions)

    # Before 3.13, a TaskGroup that fails while it waits does not take back its cancel().
    waits = place in ("around its end", "in a child") and name.endswith("TaskGroup")
    leaves = int(fails and waits and sys.version_info < (3, 13))
    stage.play(scene)
    # The failure is raised in either order, and a deadline inside the group does not
    # cancel the sibling.
    if fails:
        assert happened == ["cancelled", "LookupError"]
    else:
        assert happened == (["cancelled", "ended"] if around else ["ended", "released"])
    assert limit.expired == ("deadline" in events)
    assert limit.cancelled_caught == (not fails)


CANCELLABLE = ["anyio.create_task_group", "trio.open_nursery"]
if hasattr(asyncio.TaskGroup, "cancel"):  # since 3.15
    CANCELLABLE.append("asyncio.TaskGroup")

CANCELLED = [*product(PLACES, ["cancel", "deadline, cancel"])]
# The body ends before the deadline, and the group ends after it.
CANCELLED += [(place, "cancel, deadline") for place in PLACES if "around" in place]


def cancel_group(group: Any) -> None:
    """Cancel a group's tasks and its body; the group itself ends without an error."""
    (group if isinstance(group, asyncio.TaskGroup) else group.cancel_scope).cancel()


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize(("place", "events"), CANCELLED)
@played_with(CANCELLABLE)
def test_t6_t8_t19_t21_the_end_of_a_cancelled_group_is_not_taken_for_the_deadline(
    stage: Stage, name: str, place: str, events: str, manner: str
) -> None:
    limit = within.Timeout(NEVER, quiet=manner == "quiet")
    ours = Block(manner, ours=limit)
    around, in_time = place.startswith("around"), "deadline" not in events
    happened: list[str] = []

    async def scene() -> None:
        async def sibling() -> None:
            try:
                await anyio.sleep(NEVER)
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(4):
                        await anyio.lowlevel.checkpoint()
                happened.append("sibling")

        async def block() -> None:
            async with no_residue():
                if await ours.ends(lambda: anyio.sleep(NEVER)):
                    happened.append("ended")
            happened.append("went on")

        async def group() -> None:
            async with named(name)() as tasks:

                async def trigger() -> None:
                    for _ in range(4):
                        await anyio.lowlevel.checkpoint()
                    last = events.endswith("deadline")
                    if not in_time:
                        pass_deadline(limit, last)
                    if asyncio_task() and not last:
                        asyncio.get_running_loop().call_soon(cancel_group, tasks)
                    else:
                        cancel_group(tasks)

                await fill(tasks, place, block, sibling, trigger)
            if around and not in_time:
                # anyio takes our cancellation for its own, where the group waits at
                # its end. T22: the limit still holds for what follows.
                await anyio.sleep(NEVER)
            happened.append("left")

        async with no_residue():
            if not around:
                await group()
            elif await ours.ends(group):
                happened.append("ended")

    stage.play(scene)
    # T6: inside the group, its cancellation is a foreign one. T7: around it, ours wins.
    ended = around and not in_time
    assert happened == ["sibling", "ended" if ended else "left"]
    assert limit.expired == (not in_time)
    assert limit.cancelled_caught == ended


@pytest.mark.skipif(not hasattr(asyncio.TaskGroup, "cancel"), reason="since 3.15")
@pytest.mark.parametrize("manner", MANNERS)
def test_t6_t8_t21_a_group_that_is_cancelled_before_it_is_entered(manner: str) -> None:
    async def scene() -> None:
        async with no_residue():
            limit = within.Timeout(NEVER, quiet=manner == "quiet")
            with limit:
                group: Any = asyncio.TaskGroup()
                group.cancel()
                async with group:
                    await anyio.sleep(NEVER)
                await anyio.sleep(1)  # undisturbed
            assert not limit.expired

    run(scene, backend="asyncio", virtual_time=True)
