"""An exception out of a signal handler, at any bytecode, leaves nothing (P14).

``python tests/cancellation.py`` does it at each bytecode; here it is every so many.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from itertools import product
from typing import Any

import cancellation_signals
import pytest
from cancellation import LOOPS
from cancellation_scenarios import (
    lines,
    parent,
    run_out_of_time,
    run_with_input,
    started,
    stubborn,
    terminal,
    terminal_of_a_shell,
    waited,
)
from cancellation_signals import sweep
from children import FINDS_MEMBERS

from within._processes._posix import _fork

ON_EACH_LOOP = [started, run_with_input, stubborn]
# The bytecodes in which these differ from the others are the same on each loop.
ON_ONE_LOOP = [waited, lines, run_out_of_time, parent, terminal, terminal_of_a_shell]


@pytest.mark.timeout(600)  # thirty runs that are traced
@pytest.mark.parametrize(
    ("scenario", "loop"),
    [
        *product(ON_EACH_LOOP, LOOPS),
        *product(ON_ONE_LOOP, LOOPS[:1]),
        *(
            pytest.param(*pair, marks=pytest.mark.exhaustive)
            for pair in product(ON_ONE_LOOP, LOOPS[1:])
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_p14_a_handler_that_raises_at_any_bytecode_leaves_nothing(
    scenario: Any, loop: str
) -> None:
    if scenario is terminal_of_a_shell and not FINDS_MEMBERS:
        pytest.skip("such a job of a shell is found on Linux alone")
    count, leaks = sweep(scenario, loop, runs=30)
    assert leaks == []
    assert count > 5


def test_p14_a_handler_that_raises_leaves_nothing_without_a_pidfd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert sweep(started, "asyncio", runs=30)[1] == []


# -- the harness itself sees what is left ------------------------------------------


def test_p14_the_harness_sees_a_child_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a start that stores the pid as most do: a bytecode after the fork."""

    def careless(pids: list[int], make: Any, *args: Any) -> int:
        pid: int = make(*args)
        pids.append(pid)
        return pid

    careless.__code__ = careless.__code__.replace(co_filename="/careless.py")
    monkeypatch.setattr(cancellation_signals, "ROOM", "/careless.py")
    monkeypatch.setattr(_fork, "keep", careless)
    _, problems = sweep(started, "asyncio", runs=1000)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert "a process of the child's tree is alive" in str(problems)


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]


# -- signals that come when they come ------------------------------------------------

STORM = """
import atexit, os, random, signal, sys, threading, warnings

@atexit.register  # the first, and so the last to run
def look():
    try:
        print("left:", os.waitpid(-1, os.WNOHANG), flush=True)
    except ChildProcessError:
        print("none left,", hits > 0, flush=True)

import within, within.testing

class Stop(BaseException): pass

def handler(number, frame):
    if armed: raise Stop

async def main():
    async with within.process("sleep", "600", stdin=-3, stdout=-3):
        await within.run("true")

hits, armed = 0, False
signal.signal(signal.SIGALRM, handler)
warnings.simplefilter("ignore")
sys.unraisablehook = lambda args: None
within.testing.run(main, backend=sys.argv[1])  # everything is imported by now
over = threading.Event()
if sys.argv[2] == "threads":  # the kernel may give the signal to any of them
    for _ in range(3):
        threading.Thread(target=over.wait).start()
for n in range(int(sys.argv[3])):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0003, 0.005), 0.003)
        armed = True
        try:
            within.testing.run(main, backend=sys.argv[1])
        finally:
            armed = False
    except BaseException:
        hits += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
over.set()
"""


@pytest.mark.parametrize(
    "threads", [pytest.param("alone", marks=pytest.mark.exhaustive), "threads"]
)
@pytest.mark.parametrize("loop", LOOPS)
def test_p14_a_storm_of_signals_leaves_no_child(loop: str, threads: str) -> None:
    """Where a handler has broken the loop itself, they end with the program."""
    done = subprocess.run(
        [sys.executable, "-c", STORM, loop, threads, "40"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if loop == "uvloop" and done.returncode == -signal.SIGABRT:
        # Its loop aborts the program when it is collected while still open, as one is
        # whose close() a handler has interrupted.
        pytest.skip("uvloop has aborted the program")
    assert done.stdout == "none left, True\n", done.stderr
    gc.collect()
