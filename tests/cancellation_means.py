"""The means by which a run is cancelled (P14).

Each sets ``run.strike``, drives the run, and tells whether it was cancelled. Those
that are coroutine functions are called on a loop; the others bring it down.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import trio

import within

if TYPE_CHECKING:
    from cancellation import Run

# Right at the suspension; in the loop's next pass; or when what is awaited has come
# and its result is on the way.
MOMENTS = ["at once", "next pass", "on arrival"]


# -- on every loop -------------------------------------------------------------


async def our_cancel(run: Run) -> None:
    with within.move_on_after(None) as limit:
        run.strike = limit.cancel
        await run
    run.cancelled = limit.cancelled_caught


async def our_deadline(run: Run) -> None:
    with within.move_on_after(None) as limit:
        run.strike = lambda: limit.reschedule(within.current_time() - 1)
        await run
    run.cancelled = limit.cancelled_caught


async def anyio_scope(run: Run) -> None:
    with anyio.CancelScope() as scope:
        run.strike = scope.cancel
        await run
    run.cancelled = scope.cancelled_caught


# -- on trio -------------------------------------------------------------------


async def trio_scope(run: Run) -> None:
    with trio.CancelScope() as scope:
        run.strike = scope.cancel
        await run
    run.cancelled = scope.cancelled_caught


async def trio_sibling(run: Run) -> None:
    """A sibling task fails, and the nursery is cancelled around the run."""
    reached = trio.Event()
    run.strike, run.is_prompt = reached.set, False

    async def fail() -> None:
        await reached.wait()
        raise KeyError

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await run
            nursery.cancel_scope.cancel()
    except* KeyError:
        run.cancelled = not run.completed


# -- on asyncio and uvloop -----------------------------------------------------


async def task_cancel(run: Run, again: float = 0) -> None:
    task = asyncio.create_task(_whole(run))
    run.strike, run.again = task.cancel, again
    await asyncio.wait([task])
    _note_end(run, task)


async def cancel_twice(run: Run) -> None:
    await task_cancel(run, again=1)


async def cancel_always(run: Run) -> None:
    """Again at each suspension from here on."""
    await task_cancel(run, again=math.inf)


def shutdown(run: Run) -> None:
    """Main returns, and the runner cancels the tasks that are left."""

    async def main() -> asyncio.Task[None]:
        reached = asyncio.Event()
        run.strike, run.is_prompt = reached.set, False
        task = asyncio.create_task(_whole(run))
        either = [task, asyncio.create_task(reached.wait())]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return task

    with asyncio.Runner(loop_factory=_factory(run.loop)) as runner:
        task = runner.run(main())
    _note_end(run, task)


def dropped(run: Run, *, closed: bool = False) -> None:
    """The loop stops in the middle, and nothing can be awaited any more."""
    loop = _factory(run.loop)()
    run.strike = loop.stop
    coroutine = _whole(run)
    task: Any = loop.create_task(coroutine)
    task.add_done_callback(lambda _: loop.stop())
    task._log_destroy_pending = False
    try:
        loop.run_forever()
        if closed:
            loop.close()
        run.cancelled = not task.done()
        coroutine.close()
    finally:
        loop.close()


def dropped_closed(run: Run) -> None:
    """The same after the loop was closed."""
    dropped(run, closed=True)


async def _whole(run: Run) -> None:
    asyncio.get_running_loop().set_exception_handler(run.complain)
    await run


def _note_end(run: Run, task: asyncio.Task[None]) -> None:
    # A task that is cancelled in its last step ends as cancelled, having run through.
    run.cancelled = task.cancelled() and not run.completed
    if not task.cancelled():
        task.result()


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


# -- all of them ---------------------------------------------------------------

_AWAITED: dict[bool, list[Any]] = {
    True: [our_cancel, our_deadline, anyio_scope, trio_scope, trio_sibling],
    False: [
        our_cancel,
        our_deadline,
        anyio_scope,
        task_cancel,
        cancel_twice,
        cancel_always,
    ],
}
_ENDS: list[Any] = [shutdown, dropped, dropped_closed]

NAMES = list(
    dict.fromkeys(means.__name__ for means in _AWAITED[False] + _ENDS + _AWAITED[True])
)

# For the ordinary run. A deadline does what `cancel()` does (T12), and so do all scopes
# on trio. On uvloop each moment comes about as on asyncio.
_ORDINARY: dict[str, list[tuple[Any, list[str]]]] = {
    "asyncio": [
        (our_cancel, MOMENTS),
        (anyio_scope, MOMENTS[:1]),
        (task_cancel, MOMENTS),
        (cancel_always, MOMENTS[:1]),
    ],
    "uvloop": [(our_cancel, MOMENTS[:1]), (task_cancel, MOMENTS[:1])],
    "trio": [(our_cancel, MOMENTS), (trio_sibling, MOMENTS[:1])],
}


def means_on(loop: str, *, thorough: bool) -> list[tuple[Any, str]]:
    """Each means there is on a loop, each at every moment if ``thorough``."""
    if thorough:
        found = list(itertools.product(_AWAITED[loop == "trio"], MOMENTS))
    else:
        found = [
            (means, moment) for means, moments in _ORDINARY[loop] for moment in moments
        ]
    # An end takes some passes of its own.
    return found if loop == "trio" else found + [(end, MOMENTS[0]) for end in _ENDS]
