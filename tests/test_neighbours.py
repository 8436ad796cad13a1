"""T21: our blocks among those of others, nested either way around.

A block of ours is in each neighbour's or around it, while one deadline comes first,
or the other, or both in one pass of the loop; or a task fails in that pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import pytest
import trio

import within
from within._backends import current
from within.testing import run, virtual_clock

Body = Callable[[], Coroutine[Any, Any, Any]]

NEVER = 1e6
NEAR = 0.004  # seconds until what comes first, in real or in virtual time
INSTANT = 0.001  # between two deadlines that the loop finds passed together


class Stage(NamedTuple):
    """A loop, in virtual time where it has one, and what is special of its task."""

    loop: str
    task: str = "plain"

    def has(self, name: str) -> bool:
        # In a task that has swallowed a cancellation, a scope of quattro's takes none
        # for its own, and a TaskGroup that fails cancels the task once more.
        spoilt = self.task == "cancelled once" and (
            "quattro" in name or "Group" in name
        )
        belongs = name.startswith("trio") == (self.loop == "trio")
        return name.startswith("anyio") or (belongs and not spoilt)

    def play(self, scene: Body) -> None:
        async def main() -> None:
            if self.task == "cancelled once":
                asyncio_task().cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await anyio.lowlevel.checkpoint()
            if self.task == "eager":
                asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
                await asyncio.create_task(scene())
            else:
                await scene()

        if self.task == "eager" and sys.version_info < (3, 12):
            pytest.skip("eager tasks came with 3.12")
        if self == ("uvloop", "eager") and (3, 13) <= sys.version_info < (3, 13, 3):
            pytest.skip("eager_task_factory refuses the eager_start= of uvloop")
        run(main, backend=self.loop, virtual_time=self.loop != "uvloop")


STAGES = [Stage("asyncio", task) for task in ("plain", "eager", "cancelled once")]
STAGES += [Stage("uvloop"), Stage("uvloop", "eager"), Stage("trio")]


def played_with(names: list[str]) -> Any:
    """A test on each stage, with each of the names that it has."""
    rows = [row for row in product(STAGES, names) if row[0].has(row[1])]
    ids = [f"{stage.loop}-{stage.task}-{name}" for stage, name in rows]
    return pytest.mark.parametrize(("stage", "name"), rows, ids=ids)


def asyncio_task() -> Any:
    return asyncio.current_task() if current().name == "asyncio" else None


def let_pass(seconds: float) -> None:
    """Block the loop, as code without an await does, for a little longer."""
    try:
        virtual_clock().advance(seconds + INSTANT)
    except RuntimeError:  # time is real
        time.sleep(seconds + NEAR)


@contextlib.asynccontextmanager
async def no_residue(but_for: int = 0) -> AsyncIterator[None]:
    """T8: what is done in here leaves nothing on the task."""

    def look() -> tuple[int, float]:
        task = asyncio_task()
        return task.cancelling() if task else 0, within.current_effective_deadline()

    cancelling, deadline = look()
    yield
    for _ in range(3):
        assert look() == (cancelling + but_for, deadline)
        await anyio.lowlevel.checkpoint()


GROUPS = ["asyncio.TaskGroup", "quattro.TaskGroup", "trio.open_nursery"]
GROUPS += ["anyio.create_task_group"]
# They raise, or are left quietly, at their deadline.
RAISING = ["asyncio.timeout", "asyncio.wait_for", "async_timeout.timeout"]
RAISING += ["quattro.fail_after", "anyio.fail_after", "trio.fail_after"]
QUIET = ["quattro.move_on_after", "anyio.move_on_after", "trio.move_on_after"]
QUIET += ["anyio.CancelScope", "trio.CancelScope"]
# That of 3.11 has its body in a task of its own, which it cancels one pass after the
# deadline: meanwhile a block in there may end by its own. And it swallows what cancels
# it when its body is done.
LATER = "asyncio.wait_for" if sys.version_info < (3, 12) else None
ERRORS = {"trio.fail_after": trio.TooSlowError, "raising": within.DeadlineExceeded}


def named(name: str) -> Any:
    module, _, attribute = name.partition(".")
    return getattr(pytest.importorskip(module), attribute)


class Block(NamedTuple):
    """A limit around a body: a neighbour's, or ours in one of its manners."""

    name: str
    delay: float = NEVER
    ours: within.Timeout | None = None

    async def around(self, body: Body) -> None:
        if self.name == "asyncio.wait_for":
            await asyncio.wait_for(body(), self.delay)
            return
        if self.name.endswith("CancelScope"):
            block = named(self.name)(deadline=within.current_time() + self.delay)
        else:
            block = self.ours or named(self.name)(self.delay)
        if hasattr(block, "__enter__"):
            with block:
                await body()
        else:
            async with block:
                await body()

    async def ends(self, body: Body) -> bool:
        """Whether the limit has ended the block, and not the body."""
        finished, error = False, None

        async def until_finished() -> None:
            nonlocal finished
            await body()
            finished = True

        try:
            await self.around(until_finished)
        except (TimeoutError, trio.TooSlowError) as raised:
            error = raised
        if finished or self.name in ("quiet", *QUIET):
            assert error is None
        else:
            assert type(error) is ERRORS.get(self.name, TimeoutError)
            assert getattr(error, "scope", None) is self.ours
        return not finished


# -- two limits, one in the other --------------------------------------------

ORDERS, MANNERS = ["ours around theirs", "ours in theirs"], ["quiet", "raising"]
# Seconds until their deadline, and until ours.
TIMINGS = {
    "theirs first": (NEAR, NEVER),
    "ours first": (NEVER, NEAR),
    "theirs an instant before": (NEAR, NEAR + INSTANT),
    "ours an instant before": (NEAR + INSTANT, NEAR),
    "both at once": (NEAR, NEAR),
}
WAYS = [*product(ORDERS, TIMINGS, MANNERS)]


async def play(
    name: str,
    way: tuple[str, ...],
    in_turn: bool = True,
    bridge: Callable[[Body], Body] = lambda body: body,
) -> None:
    """Nest two blocks; a bridge leads from the outer one's loop to the inner one's."""
    order, timing, manner = way
    theirs, ours = TIMINGS[timing]
    due = [delay for delay in (theirs, ours) if delay != NEVER]
    limit = within.Timeout(ours, quiet=manner == "quiet")
    outer, inner = Block(manner, ours=limit), Block(name, theirs)
    if order == "ours in theirs":
        outer, inner = inner, outer
    inner_ended = False

    async def in_both() -> None:
        let_pass(max(due))
        await anyio.sleep(NEVER)

    async def beyond_the_bridge() -> None:
        nonlocal inner_ended
        async with no_residue():
            inner_ended = await inner.ends(in_both)
            if len(due) == 2:
                await anyio.sleep(NEVER)  # T3: else the outer may be left in time

    async def in_the_outer() -> None:
        async with no_residue():
            await bridge(beyond_the_bridge)()

    async with no_residue():
        outer_ended = await outer.ends(in_the_outer)
    ours_ended = outer_ended if outer.ours else inner_ended
    assert limit.cancelled_caught == ours_ended
    if len(due) == 2:  # T6, T7: the outer one is what ends its block
        assert outer_ended
        assert in_turn or not inner_ended  # in turn: they are not seen in one go
        assert limit.expired >= (ours_ended or not in_turn)
    else:
        assert (outer_ended, inner_ended) in [(True, False), (False, True)]
        assert limit.expired == ours_ended == (timing == "ours first")


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@played_with(RAISING + QUIET)
def test_t6_t7_t8_t21_of_two_limits_the_outer_one_wins(
    stage: Stage, name: str, way: tuple[str, ...]
) -> None:
    stage.play(lambda: play(name, way, in_turn=name == LATER))


@played_with(RAISING + QUIET)
def test_t7_t8_t21_theirs_between_two_of_ours(stage: Stage, name: str) -> None:
    outer, inner = within.move_on_after(NEVER), within.move_on_after(NEAR)

    async def unwind() -> None:
        try:
            await anyio.sleep(NEVER)
        finally:
            outer.cancel()

    async def scene() -> None:
        async with no_residue(), outer:
            await Block(name).around(lambda: Block("quiet", ours=inner).around(unwind))

    stage.play(scene)
    assert outer.expired
    assert outer.cancelled_caught != inner.cancelled_caught == (name == LATER)


# -- limits and groups of tasks ----------------------------------------------

PLACES = ["around its body", "around its end", "in its body", "in a child"]
EVENTS = ["deadline", "failure", "deadline, failure", "failure, deadline"]


def strike(limit: within.Timeout, last: bool) -> None:
    """Let the deadline pass just before the group learns of the task's end, or after."""
    due = lambda *_: limit.reschedule(within.current_time())
    if (task := asyncio_task()) is None:
        # trio looks at its clock after the task's last step.
        limit.reschedule(within.current_time() + last * INSTANT)
        let_pass(last * INSTANT)
    elif last:
        task.add_done_callback(due)  # the group has added its own before
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
                strike(limit, last=events.endswith("deadline"))
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

    # Before 3.13 a TaskGroup that fails while it waits does not take its cancel() back.
    waits = place in ("around its end", "in a child") and name.endswith("TaskGroup")
    leaves = int(fails and waits and sys.version_info < (3, 13))
    stage.play(scene)
    # In either order a failure is not swallowed, and a deadline in the group is none
    # of the sibling's business.
    if fails:
        assert happened == ["cancelled", "LookupError"]
    else:
        assert happened == (["cancelled", "ended"] if around else ["ended", "released"])
    assert limit.expired == ("deadline" in events)
    assert limit.cancelled_caught == (not fails)


# -- two loops: each looks at its own deadlines, in its turn -----------------

ELSEWHERE = ["asyncio.timeout", "asyncio.wait_for", "trio.fail_after"]


def as_guest(body: Body) -> Body:
    """trio as the guest of an asyncio task, with which it is cancelled."""

    async def host() -> None:
        async def guest() -> None:
            token = trio.lowlevel.current_trio_token()
            with trio.CancelScope() as scope:
                started.set_result(lambda: token.run_sync_soon(scope.cancel))
                await body()

        loop = asyncio.get_running_loop()
        started, done = loop.create_future(), loop.create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            (await started)()
            await asyncio.wait([done])
            raise
        finally:
            done.result().unwrap()

    return host


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_t8_t21_with_trio_as_a_guest(loop: str, way: tuple[str, ...]) -> None:
    for name in ELSEWHERE:
        if name.startswith("asyncio") == way[0].startswith("ours in"):
            run(play, name, way, True, as_guest, backend=loop)


async def play_on_trio_asyncio() -> None:
    from trio_asyncio import aio_as_trio, open_loop, trio_as_aio

    async with open_loop():
        for name, way in product(ELSEWHERE, WAYS):
            if name.startswith("asyncio") == way[0].startswith("ours in"):
                await aio_as_trio(play)(name, way, True, trio_as_aio)
            else:
                await play(name, way, True, aio_as_trio)


def test_t8_t21_with_trio_asyncio() -> None:
    # In a process of its own: importing it replaces parts of asyncio for good.
    code = "import test_neighbours as here, trio; trio.run(here.play_on_trio_asyncio)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
