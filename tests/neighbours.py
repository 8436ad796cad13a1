"""The blocks of other libraries, and the loops and tasks on which each one works."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import product
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
NEAR = 0.004  # seconds until the first event, in real or in virtual time
INSTANT = 0.001  # between two deadlines that the loop notices in the same pass
MANNERS = ["quiet", "raising"]  # how a block of ours ends at its deadline


class Stage(NamedTuple):
    """A loop, in virtual time where it has one, and what is special about the task."""

    loop: str
    task: str = "plain"

    def has(self, name: str) -> bool:
        # In a task that has swallowed a cancellation, quattro's scopes do not recognise
        # their own cancellation, and a TaskGroup that fails cancels the task again.
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
        if self == ("uvloop", "eager") and sys.version_info[:2] == (3, 13):
            # Some releases of 3.13 take any keyword, and others do not.
            taken = inspect.signature(asyncio.eager_task_factory).parameters
            if "kwargs" not in taken:
                pytest.skip("eager_task_factory does not accept uvloop's eager_start=")
        run(main, backend=self.loop, virtual_time=self.loop != "uvloop")


STAGES = [Stage("asyncio", task) for task in ("plain", "eager", "cancelled once")]
STAGES += [Stage("uvloop"), Stage("uvloop", "eager"), Stage("trio")]


def played_with(names: list[str]) -> Any:
    """Run a test on each stage, with each of the names that work there."""
    rows = [row for row in product(STAGES, names) if row[0].has(row[1])]
    ids = [f"{stage.loop}-{stage.task}-{name}" for stage, name in rows]
    return pytest.mark.parametrize(("stage", "name"), rows, ids=ids)


def asyncio_task() -> Any:
    return asyncio.current_task() if current().name == "asyncio" else None


def let_pass(seconds: float) -> None:
    """Block the loop for a little longer than this, as code without an await does."""
    try:
        virtual_clock().advance(seconds + INSTANT)
    except RuntimeError:  # time is real
        time.sleep(seconds + NEAR)


@contextlib.asynccontextmanager
async def no_residue(but_for: int = 0) -> AsyncIterator[None]:
    """T8: the code inside leaves nothing on the task."""

    def look() -> tuple[int, float]:
        task = asyncio_task()
        return task.cancelling() if task else 0, within.current_effective_deadline()

    cancelling, deadline = look()
    yield
    for _ in range(3):
        assert look() == (cancelling + but_for, deadline)
        await anyio.lowlevel.checkpoint()


# At their deadline, these raise or end quietly.
RAISING = ["asyncio.timeout", "asyncio.wait_for", "async_timeout.timeout"]
RAISING += ["quattro.fail_after", "anyio.fail_after", "trio.fail_after"]
QUIET = ["quattro.move_on_after", "anyio.move_on_after", "trio.move_on_after"]
QUIET += ["anyio.CancelScope", "trio.CancelScope"]
# In 3.11, asyncio.wait_for runs its body in a task of its own, and cancels that task one
# pass after the deadline. In between, a block in the body may end at its own deadline.
# It also swallows a cancellation that arrives when the body is done.
LATER = "asyncio.wait_for" if sys.version_info < (3, 12) else None
ERRORS = {"trio.fail_after": trio.TooSlowError, "raising": within.DeadlineExceeded}


def named(name: str) -> Any:
    module, _, attribute = name.partition(".")
    return getattr(pytest.importorskip(module), attribute)


class Block(NamedTuple):
    """A limit around a body: a neighbour's, or ours, either quiet or raising."""

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
        """Whether the limit ended the block, rather than the end of the body."""
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
