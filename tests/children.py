"""Helpers that the tests of processes share.

No test waits for a delay: it hears from its child through a pipe, and asks the kernel
whether a process is gone.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import within
from within import Stop
from within._processes import _log_end

FOREVER = "600"

# For sh: a process that has left the group and carries no mark of its tree, like one
# whose fork had begun when its parent was marked. It says its number.
NEVER_MARKED = (
    f"env -i setsid {sys.executable} -S -E -c 'import os, resource, time; "
    "resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1)); "
    f"print(os.getpid(), flush=True); time.sleep({FOREVER})'"
)

# dash blocks every signal while it forks, and for a moment in its `wait`. On a busy
# machine, SIGKILL may come before the signals are unblocked. So if a test expects the
# polite signal to end such a child, its shell replaces itself (`exec sleep`).
QUICK = Stop(grace=0.05)

# Whether the members of a group can be found. Elsewhere nothing can wait for them, and
# tree="all" ends no more than tree="group" does.
FINDS_MEMBERS = hasattr(os, "pidfd_open")
needs_members = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="finds the members of a group: needs pidfds and /proc"
)
ALL = pytest.param("all", marks=needs_members)


def alive(pid: int) -> bool:
    """False for a zombie: it is dead, though not reaped yet."""
    if FINDS_MEMBERS:
        return _is_in_proc(pid)
    until = time.monotonic() + 1  # our SIGKILL is on its way, and nothing waits for it
    while found := _is_listed(pid):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return found


def _is_listed(pid: int) -> bool:
    ps = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(ps, capture_output=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith(b"Z")


def _is_in_proc(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            fields = dict(x.split(b":", 1) for x in file.read().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return False
    if fields[b"State"].split()[0] not in (b"Z", b"X"):
        return True
    return int(fields.get(b"Threads", 0)) > 1  # only its first thread has ended


def until_it_waits(thread: int) -> None:
    """Wait, in another thread of ours, until this one waits in a system call.

    A thread that waits for the GIL has its turn while we sleep. So one that sleeps all
    this time, without a single switch, waits for something else.
    """
    path = f"/proc/self/task/{thread}/status"
    if not os.path.exists(
        path
    ):  # not on Linux: it is waiting by then, or it is not seen
        time.sleep(0.1)
        return
    seen = ""
    while True:
        with open(path) as file:
            fields = dict(entry.split(":\t", 1) for entry in file)
        now = fields["State"] + fields["voluntary_ctxt_switches"]
        if now.startswith("S") and now == seen:
            return
        seen = now
        time.sleep(0.02)


def held(descriptor: int) -> int:
    """How many bytes are in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as found:
        found.bind((host, 0))
        port: int = found.getsockname()[1]
        return port


def shell(script: str, **options: Any) -> within.Opening[within.Server]:
    """A server that is a shell script."""
    return within.server("sh", "-c", script, **{"stop": QUICK, **options})


def longer_and_longer() -> Iterator[float]:
    """Limits in seconds, for a test whose child has to begin before the limit is over.

    On a busy machine that takes any time, so the test tries them one after another.
    """
    return (0.1 * 2**n for n in range(10))


def after_each_chunk(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    """Have the thread of a log call ``act()`` when it has kept a chunk."""
    keep = _log_end.LogEnd.keep

    def kept(self: _log_end.LogEnd, data: bytes) -> None:
        keep(self, data)
        act()

    monkeypatch.setattr(_log_end.LogEnd, "keep", kept)


async def line(child: within.Process) -> str:
    async for found in child:
        return found.strip()
    raise EOFError


# A child that starts two of its own, and prints the pids of all three.
FAMILY = f"sleep {FOREVER} & echo $!; sleep {FOREVER} & echo $!; echo $$; wait"


async def family(child: within.Process) -> list[int]:
    return [int(await line(child)) for _ in range(3)]
