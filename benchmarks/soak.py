"""Ten thousand mixed runs on each loop, and what of them is left: nothing, we hope.

    python benchmarks/soak.py [--runs 10000] [--loop asyncio|uvloop|trio|all]

Every 500 runs it prints what the process holds. In the end the last quarter must
hold no more than the first: the same descriptors, children, threads and tasks, and
no more memory. The exit status says whether it is so.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import NoReturn

import anyio
import anyio.lowlevel

import within
from within import Stop
from within.testing import run as run_on

LOOPS = ("asyncio", "uvloop", "trio")
EVERY = 500
MAX_GROWTH = {"rss_kib": 0.05, "objects": 0.01}

# Whoever descends from us bears it, wherever it has gone.
MARK = "WITHIN_SOAK"

FOREVER = "600"
Kind = Callable[[random.Random], Awaitable[None]]


class Wrong(Exception):
    """A run did not do what it should."""


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, not {wanted!r}")


# -- the runs ----------------------------------------------------------------


async def nothing(_: random.Random) -> None:
    done = await within.run("true")
    expect("true", (done.returncode, done.stdout), (0, b""))


async def through_cat(rng: random.Random) -> None:
    data = rng.randbytes(rng.choice((1, 1000, 200_000)))
    done = await within.run("cat", input=data)
    expect("cat", done.stdout == data, True)


async def failing(_: random.Random) -> None:
    try:
        await within.run("sh", "-c", "echo why >&2; exit 3")
    except subprocess.CalledProcessError as error:
        expect("failure", (error.returncode, error.stderr), (3, b"why\n"))
    else:
        missing("CalledProcessError")


async def timed_out(rng: random.Random) -> None:
    try:
        await within.run("sleep", FOREVER, timeout=rng.uniform(0, 0.01))
    except within.ProcessTimeout as error:
        expect("output", error.stdout, b"")
    else:
        missing("ProcessTimeout")


async def too_much(_: random.Random) -> None:
    try:
        await within.run("yes", max_output=100_000)
    except subprocess.CalledProcessError as error:
        expect("kept", len(error.stdout), 100_000)
    else:
        missing("OutputLimitExceeded")


async def not_started(rng: random.Random) -> None:
    command, cwd = rng.choice([("no-such-program", None), ("true", "/no/such/cwd")])
    try:
        await within.run(command, cwd=cwd)
    except FileNotFoundError as error:
        expect("file", error.filename, cwd or command)
    else:
        missing("FileNotFoundError")


async def lines(rng: random.Random) -> None:
    count = rng.choice((1, 10, 3000))
    async with within.process("seq", str(count)) as child:
        found = [int(line) async for line in child]
    expect("lines", found, list(range(1, count + 1)))
    expect("seq", child.returncode, 0)


async def conversation(rng: random.Random) -> None:
    async with within.process("cat") as child:
        assert child.stdin is not None
        for _ in range(rng.randrange(5)):
            await child.stdin.send(b"ping\n")
            expect("answer", await first_line(child), "ping\n")


async def stubborn(_: random.Random) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 600; done"
    plan = Stop(grace=0.01)
    async with within.process("sh", "-c", script, stop=plan) as child:
        await first_line(child)
    expect("stubborn", child.returncode, -9)


async def family(_: random.Random) -> None:
    script = f"sleep {FOREVER} & sleep {FOREVER} & echo $!; wait"
    async with within.process("sh", "-c", script) as child:
        grandchild = int(await first_line(child))
    expect("grandchild alive", is_alive(grandchild), False)


async def runaway(_: random.Random) -> None:
    script = f"setsid sleep {FOREVER} & echo $!; wait"
    plan = Stop(tree="all")
    async with within.process("sh", "-c", script, stop=plan) as child:
        grandchild = int(await first_line(child))
    expect("runaway alive", is_alive(grandchild), False)


async def cancelled(rng: random.Random) -> None:
    """Any of the others, cut off somewhere."""
    limited = rng.choice((within.move_on_after, anyio.move_on_after))
    with limited(rng.uniform(0, 0.01)):
        await rng.choice(CANCELLED)(rng)


# How often each kind comes, of a hundred runs.
SHARES: dict[Kind, int] = {
    nothing: 20,
    through_cat: 14,
    failing: 5,
    timed_out: 10,
    too_much: 4,
    not_started: 5,
    lines: 12,
    conversation: 6,
    stubborn: 4,
    family: 6,
    runaway: 2,
    cancelled: 12,
}
CANCELLED: list[Kind] = [kind for kind in SHARES if kind is not cancelled]


def missing(error: str) -> NoReturn:
    raise Wrong(f"no {error} was raised")


async def first_line(child: within.Process) -> str:
    async for line in child:
        return line
    raise Wrong(f"{child!r} wrote nothing")


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int | str) -> str:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return status[0].decode()
    return ""


# -- what the process holds --------------------------------------------------


@dataclass(frozen=True)
class Sample:
    runs: int
    seconds: float
    descriptors: int
    children: int  # zombies too
    descendants: int  # whoever bears our mark
    threads: int
    io_workers: int  # the kernel's own, for the io_uring of uvloop: not compared
    tasks: int
    rss_kib: int
    objects: int


EQUAL = ("descriptors", "children", "descendants", "threads", "tasks")


def take(runs: int, began: float) -> Sample:
    gc.collect()
    tasks = list(Path("/proc/self/task").iterdir())
    names = [name for task in tasks if (name := contents(task / "comm"))]
    # The kernel starts and ends them as it sees fit; they run nothing of ours.
    io_workers = sum(name.startswith("iou-") for name in names)
    children = [contents(task / "children").split() for task in tasks]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        runs,
        round(time.monotonic() - began, 1),
        len(os.listdir("/proc/self/fd")),
        sum(map(len, children)),
        len(marked()),
        max(threading.active_count(), len(names) - io_workers),
        io_workers,
        len(anyio.get_running_tasks()),
        pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        len(gc.get_objects()),
    )


def contents(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""  # it has gone while we looked


def marked() -> list[int]:
    wanted = f"{MARK}={os.getpid()}".encode()
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in process.joinpath("environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def verdict(samples: list[Sample]) -> list[str]:
    """What the last quarter holds that the first did not."""
    quarter = max(1, len(samples) // 4)
    first, last = samples[:quarter], samples[-quarter:]
    found: list[str] = []
    for name in EQUAL:
        before = sorted({getattr(sample, name) for sample in first})
        after = sorted({getattr(sample, name) for sample in last})
        if before != after or len(after) > 1:
            found.append(f"{name}: {before} at first, {after} at last")
    for name, most in MAX_GROWTH.items():
        old = median(getattr(sample, name) for sample in first)
        new = median(getattr(sample, name) for sample in last)
        say(f"{name}: {old:.0f} at first, {new:.0f} at last: {new / old - 1:+.2%}")
        if new > old * (1 + most):
            found.append(f"{name} grew by more than {most:.0%}")
    return found


# -- one loop ----------------------------------------------------------------


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
    say(f"{loop}: {'leaks, or worse' if problems else 'flat'}")
    return 1 if problems else 0


async def all_runs(
    runs: int, tasks: int, seed: int, samples: list[Sample], counts: Counter[str]
) -> None:
    rng = random.Random(seed)
    kinds = rng.choices(list(SHARES), list(SHARES.values()), k=runs)
    every = min(EVERY, max(1, runs // 8))
    began = time.monotonic()
    for start in range(0, runs, every):
        # One iterator for all: who is done takes the next run.
        batch = iter(enumerate(kinds[start : start + every], start))
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(one_task, batch, seed)
        await anyio.lowlevel.checkpoint()  # the tasks' own ends are through
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


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


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
        parser.error("what a process holds is read from /proc, which is not here")
    if options.loop != "all":
        return soak(options.loop, options.runs, options.tasks, options.seed)
    # Each in a process of its own, so that none inherits the memory of another.
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
