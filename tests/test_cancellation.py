"""Every suspension point may be cancelled, and nothing leaks (P14).

Each test starts loops of its own, one for each cancellation, and looks for leaks
inside and outside of them; so it needs no fixture for either.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cancellation_leaks
import pytest
from anyio.lowlevel import checkpoint
from cancellation import LOOPS, once, sweep, warm_up
from cancellation_means import our_cancel, task_cancel
from cancellation_scenarios import (
    FOREVER,
    SCENARIOS,
    run_with_input,
    started,
    stubborn,
    waited,
)


@pytest.mark.timeout(600)  # a hundred runs, and each may look at every process
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_p14_cancelled_at_any_suspension_by_any_means_nothing_leaks(
    scenario: Any, loop: str
) -> None:
    counts, leaks = sweep(scenario, loop, thorough=False)
    assert leaks == []
    assert all(counts.values())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scenario", [started, waited, stubborn, run_with_input])
def test_p14_the_thread_that_waits_without_a_pidfd_leaks_nothing_either(
    scenario: Any, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    _, leaks = sweep(scenario, loop, thorough=False)
    assert leaks == []


# -- the harness itself sees what is left --------------------------------------


@contextmanager
def _descriptor(held: int) -> Iterator[None]:
    fd = os.dup(held)
    yield
    os.close(fd)


@contextmanager
def _child(held: int) -> Iterator[None]:
    with subprocess.Popen(["sleep", FOREVER], pass_fds=[held]) as child:
        yield
        child.kill()


@contextmanager
def _zombie(held: int) -> Iterator[None]:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        yield


@contextmanager
def _thread(held: int) -> Iterator[None]:
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    yield
    event.set()
    thread.join()


@contextmanager
def _unraisable(held: int) -> Iterator[None]:
    class Awkward:
        def __del__(self) -> None:
            raise ValueError("in __del__")

    Awkward()
    yield


LEFT: list[tuple[Callable[[int], Any], str]] = [
    (_descriptor, "descriptors"),
    (_child, "child: none before, alive after"),
    (_child, "a process of the child's tree is alive"),
    (_zombie, "reaped by nobody"),
    (_thread, "threads"),
    (_unraisable, "in __del__"),
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("leave", "said"), LEFT)
def test_p14_the_harness_sees_what_is_left(
    leave: Callable[[int], Any], said: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Any] = []

    async def leaky(pass_fds: list[int]) -> None:
        left.append(leave(pass_fds[0]))
        left[-1].__enter__()
        await checkpoint()

    monkeypatch.setattr(cancellation_leaks, "PATIENCE", 0)
    warm_up(loop)
    try:
        run = once(leaky, our_cancel, "at once", loop, 1)
    finally:
        left[-1].__exit__(None, None, None)
    assert run.cancelled
    assert said in "; ".join(run.problems)


@pytest.mark.parametrize("means", [our_cancel, task_cancel])
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop != "trio"])
def test_p14_the_harness_sees_a_cancellation_that_is_lost(
    loop: str, means: Any
) -> None:
    async def deaf(pass_fds: list[int]) -> None:
        with suppress(asyncio.CancelledError):
            await checkpoint()

    assert "the cancellation was lost" in _problems(deaf, means, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_p14_the_harness_sees_an_error_in_place_of_the_cancellation(loop: str) -> None:
    async def failing(pass_fds: list[int]) -> None:
        try:
            await checkpoint()
        finally:
            raise KeyError

    problems = _problems(failing, our_cancel, loop)
    assert "KeyError" in problems
    assert "neither completed nor cancelled" in problems


def test_p14_the_harness_sees_a_task_that_is_left() -> None:
    async def leaky(pass_fds: list[int]) -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(3600)))
        await checkpoint()

    tasks: list[Any] = []
    assert "tasks: 1 before, 2 after" in _problems(leaky, our_cancel, "asyncio")


def _problems(scenario: Callable[..., Awaitable[None]], means: Any, loop: str) -> str:
    warm_up(loop)
    return "; ".join(once(scenario, means, "at once", loop, 1).problems)
