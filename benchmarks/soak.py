"""Does ten thousand mixed runs on each loop, and checks that nothing is left of them.

    python benchmarks/soak.py [--runs 10000] [--loop asyncio|uvloop|trio|all]

Every 500 runs it prints what the process holds. At the end the last quarter must hold
no more than the first: the same descriptors, children, threads and tasks, and no more
memory. The exit status is 0 if that is so.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path

import anyio
import anyio.lowlevel
from parts.environment import LOOPS
from parts.soak_holdings import MARK, Sample, marked, say, take, verdict
from parts.soak_runs import SHARES, Kind, Wrong

from within.testing import run as run_on

EVERY = 500


def soak(loop: str, runs: int, tasks: int, seed: int) -> int:
    os.environ[MARK] = str(os.getpid())
    warned: Counter[str] = Counter()

    def note(message: Warning | str, *_: object, **__: object) -> None:
        warned[str(message)] += 1

    warnings.simplefilter("always")
    warnings.showwarning = note
    say(f"\n{loop}, {runs} runs, {tasks} at a time, seed {seed}")
    say(" ".join(f"{field.name:>11}" for field in fields(Sample)))
    samples: list[Sample] = []
    counts: Counter[str] = Counter()
    try:
        run_on(all_runs, runs, tasks, seed, samples, counts, backend=loop)
    except* Wrong as wrong:
        problems = [str(error) for error in leaves(wrong)]
    else:
        problems = verdict(samples)
        say(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    problems += [f"warned {n} times: {text}" for text, n in warned.items()]
    if left := marked():
        problems.append(f"processes left at the end: {left}")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for problem in problems:
        say(f"WRONG: {problem}")
    say(f"{loop}: {'something is wrong' if problems else 'flat'}")
    return 1 if problems else 0


async def all_runs(
    runs: int, tasks: int, seed: int, samples: list[Sample], counts: Counter[str]
) -> None:
    rng = random.Random(seed)
    kinds = rng.choices(list(SHARES), list(SHARES.values()), k=runs)
    every = min(EVERY, max(1, runs // 8))
    began = time.monotonic()
    for start in range(0, runs, every):
        # The tasks share one iterator: a task that is done takes the next run.
        batch = iter(enumerate(kinds[start : start + every], start))
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(one_task, batch, seed)
        await anyio.lowlevel.checkpoint()  # the loop has forgotten the tasks by now
        counts.update(kind.__name__ for kind in kinds[start : start + every])
        samples.append(take(min(runs, start + every), began))
        say(" ".join(f"{value:>11}" for value in astuple(samples[-1])))


async def one_task(batch: Iterator[tuple[int, Kind]], seed: int) -> None:
    for number, kind in batch:
        try:
            await kind(random.Random(seed + number))
        except Exception as error:
            raise Wrong(f"run {number}, {kind.__name__}: {error!r}") from error


def leaves(group: BaseExceptionGroup[Wrong]) -> list[Wrong]:
    found: list[Wrong] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, metavar="N")
    parser.add_argument("--loop", choices=(*LOOPS, "all"), default="all")
    parser.add_argument("--tasks", type=int, default=8, help="runs at a time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.runs < 1 or options.tasks < 1:
        parser.error("--runs and --tasks: give 1 or more")
    if not Path("/proc/self/task").exists():
        parser.error("this system has no /proc, from which the holdings are read")
    if options.loop != "all":
        return soak(options.loop, options.runs, options.tasks, options.seed)
    # Each loop in a process of its own, so that none inherits the memory of another.
    names = ("runs", "tasks", "seed")
    shared = [f"--{name}={getattr(options, name)}" for name in names]
    itself = [sys.executable, __file__, *shared]
    codes = [
        subprocess.run([*itself, "--loop", loop], check=False).returncode
        for loop in LOOPS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
