"""Helpers of tests of limits in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

import within
from within.testing import run

LIMIT = 1.0
NEVER = 3600.0
"""Seconds that no test lasts, even in virtual time."""

Main = Callable[[], Coroutine[Any, Any, Any]]


def virtually(main: Main, backend: str = "asyncio") -> Any:
    """Run ``main()`` in virtual time."""
    return run(main, backend=backend, virtual_time=True)


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def open_blocks() -> list[Any]:
    """The blocks that any task of the running asyncio loop has open."""
    loop: Any = asyncio.get_running_loop()
    state = loop._within_backend.open_blocks
    return [*state.young.values(), *state.old.values()]


async def nothing_strikes() -> None:
    """No block is open, and none strikes later."""
    if within._backends.current().name == "asyncio":
        assert open_blocks() == []
    assert within.current_effective_deadline() == math.inf
    await anyio.sleep(2 * LIMIT)
