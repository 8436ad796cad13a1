"""T21: our limits and task groups, nested either way around.

A task of the group fails, or the deadline passes, or both happen in one pass of the loop.
"""

from __future__ import annotations

import asyncio
import sys

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
                for child in (sibling, trigger, *[block] * (place == "in a child")):
                    if name.endswith("TaskGroup"):
                        tasks.create_task(child())
                    else:
                        tasks.start_soon(child)
                if place == "in its body":
                    await block()
                elif place == "around its body":
                    await anyio.sleep(NEVER)

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
