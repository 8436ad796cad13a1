"""A command with children that would outlive its limit, run on each loop.

    python examples/nothing_left.py

A shell starts two sleeping processes under a limit of one second. Afterwards the
program lists the processes that survived. It uses the ``within`` command on each loop
first, and then, for comparison, ``subprocess.run(..., timeout=1)``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# A duration that no other process sleeps for, so that ours can be recognised.
NAP = f"61.{os.getpid()}"
COMMAND = ["sh", "-c", f"sleep {NAP} & sleep {NAP} & wait"]


def survivors() -> list[int]:
    if Path("/proc/self/cmdline").exists():
        listed = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = process.joinpath("cmdline").read_bytes()
                listed[int(process.name)] = words.replace(b"\0", b" ").decode()
    else:
        output = subprocess.check_output(["ps", "-eo", "pid=,args="], text=True)
        rows = [line.split(maxsplit=1) for line in output.splitlines()]
        listed = {int(row[0]): row[1] for row in rows}
    return [pid for pid, words in listed.items() if words.startswith(f"sleep {NAP}")]


def report(what: str, status: object, began: float) -> list[int]:
    left = survivors()
    took = time.monotonic() - began
    print(f"{what:15} status {status}, {took:.2f} s, left behind: {left}", flush=True)
    return left


def main() -> int:
    print("the command:", *COMMAND, flush=True)
    good = True
    for backend in ("asyncio", "uvloop", "trio"):
        began = time.monotonic()
        within = [sys.executable, "-m", "within", "1", "--backend", backend, "--"]
        status = subprocess.run([*within, *COMMAND], check=False).returncode
        left = report(f"within, {backend}", status, began)
        good = good and status == 124 and not left
    began = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(COMMAND, timeout=1, check=False)
    for pid in report("subprocess.run", "none", began):
        os.kill(pid, signal.SIGKILL)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
