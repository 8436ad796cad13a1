"""What a process holds (descriptors, children, memory), and whether that has grown."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import anyio

MAX_GROWTH = {"rss_kib": 0.05, "objects": 0.01}

# An environment variable that every descendant inherits, wherever it moves.
MARK = "WITHIN_SOAK"


@dataclass(frozen=True)
class Sample:
    runs: int
    seconds: float
    descriptors: int
    children: int  # zombies included
    descendants: int  # processes that carry our mark
    threads: int
    io_workers: int  # of the kernel, for the io_uring of uvloop; not compared
    tasks: int
    rss_kib: int
    objects: int


EQUAL = ("descriptors", "children", "descendants", "threads", "tasks")


def take(runs: int, began: float) -> Sample:
    gc.collect()
    tasks = list(Path("/proc/self/task").iterdir())
    names = [name for task in tasks if (name := contents(task / "comm"))]
    # The kernel starts and ends these threads; they run no code of ours.
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
    return ""  # the thread ended meanwhile


def marked() -> list[int]:
    wanted = f"{MARK}={os.getpid()}".encode()
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in process.joinpath("environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def verdict(samples: list[Sample]) -> list[str]:
    """The problems: what the last quarter holds that the first did not hold."""
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


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
