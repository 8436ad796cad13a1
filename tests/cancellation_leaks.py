"""Checks that a cancelled run has left nothing (P14)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio

from within._backends import current

# Seconds for a thread to end once it has nothing more to wait for.
PATIENCE = 10.0


@contextmanager
def nothing_left(
    problems: list[str], look: Callable[[], dict[str, Any]]
) -> Iterator[None]:
    """Add to ``problems`` what looks different after the block."""
    before, threads = look(), threading.enumerate()
    yield
    # Only new ones: of those before, some may have ended by now.
    for thread in set(threading.enumerate()).difference(threads):
        thread.join(PATIENCE)
        if thread.is_alive():
            problems.append(f"threads: {thread} is left")
    after = look()
    for what in before:
        if after[what] != before[what]:
            problems.append(f"{what}: {before[what]} before, {after[what]} after")


def outside() -> dict[str, Any]:
    """What there is, as seen from anywhere."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
        child = f"{pid}, reaped by nobody: {status}" if pid else "alive"
    except ChildProcessError:
        child = "none"
    return {
        "descriptors": os.listdir("/proc/self/fd"),
        "child": child,
    }


def inside() -> dict[str, Any]:
    """What there is, as seen from a task of the loop."""
    found = outside()
    backend: Any = current()
    if backend.name == "trio":
        found["tasks"] = trio.lowlevel.current_statistics().tasks_living
        return found
    task = asyncio.current_task()
    assert task is not None
    found["tasks"] = len(asyncio.all_tasks())
    found["cancelling"] = task.cancelling()
    found["waits for descriptors"] = len(backend.descriptors)
    found["blocks"] = len(backend.open_blocks.young) + len(backend.open_blocks.old)
    found["pursuits"] = len(backend.pursuits)
    found["in the alarm"] = len(backend.alarm)
    return found
