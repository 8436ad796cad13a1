"""Threads that have asked a loop for something, and wait for its answer.

Such a thread is not at work: if the answer takes a virtual hour, the clock has to move.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, as_completed, wait
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

_future: Any = Future  # its type has a parameter that nobody knows here
_waits_for_one = {_future.result.__code__, _future.exception.__code__}
_waits_for_several = {wait.__code__, as_completed.__code__}


def thread_frames() -> dict[int, FrameType]:
    """By thread identifier, the innermost frame of each thread that runs Python."""
    python: Any = sys  # the documented `_current_frames` counts as private for pyright
    found: dict[int, FrameType] = python._current_frames()
    return found


def callers(loop: object = None) -> set[int]:
    """The identifiers of the threads that wait for the answer of a loop.

    Args:
        loop: The loop of asyncio or the token of trio, which runs in this thread; by
            default, any loop.
    """
    return {
        ident
        for ident, frame in thread_frames().items()
        if ident != get_ident()
        and any(loop is None or asked is loop for asked in _loops_asked(frame))
    }


def _loops_asked(innermost: FrameType) -> list[Any]:
    """The loops for whose answer a thread waits."""
    of_trio, of_portals = _functions()
    frame: FrameType | None = innermost
    is_waiting = False
    while frame is not None:
        code = frame.f_code
        if code is of_trio:  # trio.from_thread
            return [frame.f_locals.get("trio_token")]
        if (futures := _awaited(frame)) is not None:
            if not futures:  # the thread has its answer
                return []
            if found := [loop for x in futures for loop in _loops_behind(x)]:
                return found
            is_waiting = True
        elif is_waiting and code in of_portals:
            asks = frame.f_locals["self"]
            return [_loop_of_portal(getattr(asks, "_portal", asks))]
        frame = frame.f_back
    return []


def _awaited(frame: FrameType) -> list[Any] | None:
    """The futures for which a thread waits in this frame, or None if it does not wait."""
    # Before 3.13, CPython may crash if another thread reads the variables of a function
    # that is running. So this looks only into those in which a thread waits.
    if frame.f_code in _waits_for_one:
        # `self` is None once the thread is about to return.
        future = frame.f_locals.get("self")
        return [] if future is None or future.done() else [future]
    if frame.f_code in _waits_for_several:
        variables = frame.f_locals
        waiter = variables.get("waiter")
        if waiter is None or waiter.event.is_set():
            return []
        return [future for future in tuple(variables["fs"]) if not future.done()]
    return None


def _functions() -> tuple[Any, set[Any]]:
    """The code of functions in which threads wait. Tests fail loudly if they move.

    Those of anyio's portals wait for futures that do not lead to the loop.
    """
    threads: Any = sys.modules.get("trio._threads")
    of_trio = getattr(threads, "_send_message_to_trio", None)
    module: Any = sys.modules.get("anyio.from_thread")
    portal = getattr(module, "BlockingPortal", None)
    manager = getattr(module, "_BlockingAsyncContextManager", None)
    of_portals = (
        getattr(portal, "start_task", None),
        getattr(manager, "__enter__", None),
    )
    return (
        getattr(of_trio, "__code__", None),
        {getattr(function, "__code__", None) for function in of_portals},
    )


def _loops_behind(future: Any) -> list[Any]:
    """The loops that are to complete the future of a thread.

    asyncio chains it to a future of the loop, for `run_coroutine_threadsafe()` and
    anyio's `from_thread.run()`; a portal of anyio adds a callback that refers to it.
    """
    found: list[Any] = []
    for callback in tuple(getattr(future, "_done_callbacks", ())):
        cells: dict[str, Any] = {}
        code = getattr(callback, "__code__", None)
        for name, cell in zip(
            getattr(code, "co_freevars", ()),
            getattr(callback, "__closure__", None) or (),
            strict=True,
        ):
            with suppress(ValueError):  # an empty cell
                cells[name] = cell.cell_contents
        # wrap_future() adds `_call_set_state`: then the loop waits for the thread.
        if getattr(code, "co_name", None) == "_call_check_cancel":
            found.append(cells.get("source_loop"))
        elif (loop := _loop_of_portal(cells.get("self"))) is not None:
            found.append(loop)
    return found


def _loop_of_portal(portal: Any) -> Any:
    # Not the thread of the portal, which the portal forgets while it waits for its tasks.
    module: Any = sys.modules.get("anyio.from_thread")
    if isinstance(portal, getattr(module, "BlockingPortal", ())):
        return getattr(getattr(portal, "_token", None), "native_token", None)
    return None
