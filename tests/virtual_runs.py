"""Helpers to run tests in virtual time, and for threads that take part in them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from within.testing import run

LOOPS = ["asyncio", "trio"]
each_loop = pytest.mark.parametrize("loop", LOOPS)


def virtually(loop: str, function: Callable[..., Awaitable[Any]], **kwargs: Any) -> Any:
    return run(function, backend=loop, virtual_time=True, **kwargs)


Wake = Callable[[Callable[[], Any]], Any]


def waker() -> Wake:
    """A function with which a thread makes the running loop call something."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token().run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe


def wait_for_passes(wake: Wake) -> None:
    """In a thread: return after many passes in which the loop could move its clock."""
    for _ in range(20):
        passed = threading.Event()
        wake(passed.set)
        passed.wait()
