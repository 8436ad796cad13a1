"""Threads that have asked a loop for something, and wait for its answer.

Such a thread is not at work: if the answer takes a virtual hour, the clock has to move.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

_future: Any = Future  # its type has a parameter that nobody knows here
_result: Any = _future.result.__code__


def callers(loop: object = None) -> set[int]:
    """The identifiers of the threads that wait for the answer of a loop.

    Args:
        loop: The loop of asyncio or the token of trio, which runs in this thread; by
            default, any loop.
    """
    # The documented `_current_frames` counts as private for pyright.
    python: Any = sys
    found: dict[int, FrameType] = python._current_frames()
    return {
        ident
        for ident, frame in found.items()
        if ident != get_ident() and _is_in_a_call(frame, loop)
    }


def _is_in_a_call(innermost: FrameType, loop: object) -> bool:
    of_trio, of_portals = _functions()
    frame: FrameType | None = innermost
    while frame is not None:
        code = frame.f_code
        if code is of_trio:  # trio.from_thread
            return loop in (None, frame.f_locals.get("trio_token"))
        if code is of_portals:  # anyio's BlockingPortal.call()
            thread = frame.f_locals["self"]._event_loop_thread_id
            return loop is None or thread == get_ident()
        if code is _result:
            # asyncio.run_coroutine_threadsafe(...).result(); anyio.from_thread.run()
            # `self` is None once the thread is about to return.
            loops = _loops_behind(frame.f_locals.get("self"))
            if any(loop is None or x is loop for x in loops):
                return True
        frame = frame.f_back
    return False


def _functions() -> tuple[Any, Any]:
    """The code of the functions in which threads wait. Tests fail loudly if they move."""
    threads: Any = sys.modules.get("trio._threads")
    portals: Any = sys.modules.get("anyio.from_thread")
    of_trio = getattr(threads, "_send_message_to_trio", None)
    of_portals = getattr(getattr(portals, "BlockingPortal", None), "call", None)
    return getattr(of_trio, "__code__", None), getattr(of_portals, "__code__", None)


def _loops_behind(future: Any) -> list[Any]:
    """The loops whose futures are chained to the future of a thread."""
    found: list[Any] = []
    for callback in tuple(getattr(future, "_done_callbacks", ())):
        for cell in getattr(callback, "__closure__", None) or ():
            with suppress(ValueError):  # an empty cell
                if hasattr(cell.cell_contents, "call_soon_threadsafe"):
                    found.append(cell.cell_contents)
    return found
