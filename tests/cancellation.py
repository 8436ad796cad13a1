"""Cancels a scenario at its first, second, … n-th suspension, by each means (P14).

It goes on until the scenario runs through without a suspension n, on each loop; after
every single run nothing may be left. ``python tests/cancellation.py`` prints the number
of these runs, and how often a signal handler raised in others (``cancellation_signals``).
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import itertools
import os
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import trio
from anyio.lowlevel import checkpoint
from cancellation_leaks import inside, nothing_left, outside
from cancellation_means import NAMES, means_on
from cancellation_scenarios import SCENARIOS
from cancellation_signals import sweep as interrupt

from within import testing

LOOPS = [
    "uvloop" if options.get("use_uvloop") else name
    for name, options in testing.backends()
]

# Exceptions out of a signal handler, and at how many bytecodes of a scenario.
HANDLER = "signal_handler"
INTERRUPTIONS = 400
COLUMNS = [*NAMES, HANDLER]

# A scenario with so many suspensions does not end.
ENDLESS = 500


class Run:
    """A scenario under way: ``strike`` is what happens at its n-th suspension."""

    def __init__(self, scenario: Any, at: int, moment: str, loop: str) -> None:
        self.loop = loop
        self.strike: Callable[[], object] = lambda: None
        self.again = 0.0  # strike again at this many further suspensions
        self.is_prompt = True  # a task that is struck hears of it before it goes on
        self.suspensions = 0
        self.completed = self.cancelled = False
        self.problems: list[str] = []
        self._at = at
        self._moment = moment
        self._struck: list[int] = []
        # A process of the child's tree that is alive holds this pipe open.
        self._alive, self._held = os.pipe()
        self._coroutine = self._body(scenario)

    async def _body(self, scenario: Any) -> None:
        await scenario(pass_fds=[self._held])
        await checkpoint()  # here, at the latest, a cancellation is heard
        self.completed = True

    def __await__(self) -> Generator[Any, Any, None]:
        step: Callable[[Any], Any] = self._coroutine.send
        argument: Any = None
        while True:
            try:
                awaited = step(argument)
            except StopIteration:
                return
            self.suspensions += 1
            due = 0 <= self.suspensions - self._at <= self.again
            on_arrival = due and self._strike_or_wait(awaited)
            step = self._coroutine.send
            try:
                argument = yield awaited
            except BaseException as exc:
                step, argument = self._coroutine.throw, exc
            if on_arrival:
                self._strike()

    def _strike_or_wait(self, awaited: Any) -> bool:
        """Strike, now or soon; true if it is to be done when we go on."""
        if self._moment == "at once":
            self._strike()
        elif self._moment == "next pass":
            if self.loop == "trio":
                trio.lowlevel.current_trio_token().run_sync_soon(self._strike)
            else:
                asyncio.get_running_loop().call_soon(self._strike)
        elif asyncio.isfuture(awaited):
            # It is done then, but the task does not know yet: its own callback is later.
            awaited.add_done_callback(lambda _: self._strike())
        else:
            return True
        return False

    def _strike(self) -> None:
        if inspect.getcoroutinestate(self._coroutine) != inspect.CORO_CLOSED:
            self._struck.append(self.suspensions)
            self.strike()

    def complain(self, loop: object, context: dict[str, Any]) -> None:
        """The loop reports something that would otherwise be lost."""
        self.problems.append(f"{context}")

    def close(self) -> None:
        """Judge how it has ended, and what is alive."""
        if self.completed and self.cancelled:
            self.problems.append("both completed and cancelled")
        if not self.completed and not self.cancelled:
            self.problems.append("neither completed nor cancelled")
        if self.cancelled and not self._struck:
            self.problems.append("cancelled by nobody")
        # Done is done (T3): only a scenario that suspended again has missed it.
        heard = not self._struck or self._struck[0] == self.suspensions
        if self.completed and self.is_prompt and not heard:
            self.problems.append("the cancellation was lost")
        os.close(self._held)
        os.set_blocking(self._alive, False)
        try:
            os.read(self._alive, 1)
        except BlockingIOError:
            self.problems.append("a process of the child's tree is alive")
        os.close(self._alive)


# -- one run, and all of them --------------------------------------------------


async def _on_loop(means: Callable[[Run], Coroutine[Any, Any, None]], run: Run) -> None:
    if run.loop != "trio":
        asyncio.get_running_loop().set_exception_handler(run.complain)
    await checkpoint()  # the loop has made its own by now
    with nothing_left(run.problems, inside):
        await means(run)
        await checkpoint()  # undisturbed


def warm_up(loop: str) -> None:
    """Make here what the first loop of its kind keeps for good."""
    testing.run(checkpoint, backend=loop)


def once(scenario: Any, means: Any, moment: str, loop: str, at: int) -> Run:
    """One run, and in its ``problems`` all that is wrong with it."""
    run = Run(scenario, at, moment, loop)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda args: run.complain(None, {args.object: args.exc_value})
    try:
        with nothing_left(run.problems, outside):
            try:
                if inspect.iscoroutinefunction(means):
                    testing.run(_on_loop, means, run, backend=loop)
                else:
                    means(run)
            except Exception as exc:
                run.problems.append(f"{exc!r}")
            gc.collect()
    finally:
        sys.unraisablehook = hook
        run.close()
    return run


def sweep(
    scenario: Any, loop: str, *, thorough: bool = True
) -> tuple[Counter[str], list[str]]:
    """Cancel it at each suspension: how often by which means, and what was wrong."""
    warm_up(loop)
    gc.collect()
    gc.freeze()  # the collections after the runs then skip what is older
    counts: Counter[str] = Counter()
    leaks: list[str] = []
    for means, moment in means_on(loop, thorough=thorough):
        for at in itertools.count(1):
            assert at < ENDLESS
            run = once(scenario, means, moment, loop, at)
            where = f"{scenario.__name__}, {loop}, {means.__name__} {moment}, {at}: "
            leaks += [where + problem for problem in run.problems]
            if run.suspensions < at:
                break
            counts[means.__name__] += 1
    return counts, leaks


def main(names: list[str]) -> int:
    """Print the table, for the scenarios of these names or for all."""
    warnings.simplefilter("error")
    is_pid_1 = os.getpid() == 1
    print(
        f"{'as PID 1' if is_pid_1 else 'scenario':18}{'loop':8}",
        *COLUMNS,
        "  all leaks",
    )
    total: Counter[str] = Counter()
    found: list[str] = []
    for scenario, loop in itertools.product(SCENARIOS, LOOPS):
        if names and scenario.__name__ not in names:
            continue
        faulthandler.dump_traceback_later(120, exit=True)  # it hangs
        counts, leaks = sweep(scenario, loop, thorough=not is_pid_1)
        faulthandler.dump_traceback_later(600, exit=True)
        counts[HANDLER], more = interrupt(scenario, loop, runs=INTERRUPTIONS)
        leaks += more
        _print_row(scenario.__name__, loop, counts, len(leaks))
        total += counts
        found += leaks
    faulthandler.cancel_dump_traceback_later()
    _print_row("all", "", total, len(found))
    for leak in found:
        print(leak)
    return bool(found) or (not is_pid_1 and _as_pid_1(names))


def _as_pid_1(names: list[str]) -> bool:
    """Do the same as PID 1; true if it leaked."""
    namespace = ["unshare", "-pf", "--mount-proc"]
    may_make_one = shutil.which("unshare") and not (
        subprocess.run(
            [*namespace, "true"], check=False, stderr=subprocess.DEVNULL
        ).returncode
    )
    if not may_make_one:
        print("not done as PID 1: that needs unshare(1), and root")
        return False
    again = [*namespace, sys.executable, __file__, *names]
    return subprocess.run(again, check=False).returncode != 0


def _print_row(scenario: str, loop: str, counts: Counter[str], leaks: int) -> None:
    cells = [f"{counts[name] or '-':>{len(name)}}" for name in COLUMNS]
    print(f"{scenario:18}{loop:8}", *cells, f"{counts.total():5} {leaks:5}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
