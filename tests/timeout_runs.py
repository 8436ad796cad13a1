"""Helpers of the tests of time limits: durations, loops, and what is open on a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any

import pytest
from conftest import loop_name

from within.testing import backends
from within.testing._asyncio_loop import VirtualTimeLoop

NEVER = 1e6
"""Seconds that no test lasts."""
SHORT = 0.005
"""Seconds that a test may wait, even in real time."""

ASYNCIO_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "virtual": VirtualTimeLoop,
}
if find_spec("uvloop") is None:  # on Windows and PyPy; asyncio has a second loop
    ASYNCIO_LOOPS["selector"] = asyncio.SelectorEventLoop
else:
    import uvloop

    ASYNCIO_LOOPS["uvloop"] = uvloop.new_event_loop

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""What the fixture ``run_asyncio`` gives: it runs a coroutine on one asyncio loop."""


@pytest.fixture(params=[*backends(), *backends(virtual_time=True)], ids=loop_name)
def real_and_virtual_time(request: pytest.FixtureRequest) -> Any:
    """Every loop in real time, and in virtual time where the loop has one.

    A module whose tests run on all of them says
    ``anyio_backend = real_and_virtual_time``.
    """
    return request.param


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def asyncio_backend() -> Any:
    """The backend of the running asyncio loop, with its private state."""
    return asyncio.get_running_loop()._within_backend  # type: ignore[attr-defined]


def run_virtually(main: Coroutine[Any, Any, Any]) -> int:
    """Run a coroutine on asyncio in virtual time.

    Returns:
        The number of passes of the loop. If nothing else runs on the loop, this is how
        much CPU the coroutine takes.
    """

    class Loop(VirtualTimeLoop):
        passes = 0

        def _run_once(self) -> None:
            Loop.passes += 1
            super()._run_once()  # type: ignore[misc]

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main)
    return Loop.passes
