"""A harness for shell commands that nobody has reviewed.

    python examples/shell_harness.py

Each command has limits on its time, output, memory and CPU, an environment and a
directory of its own, and no terminal. The report includes the output however the
command ended. By then, everything that the command started is gone, even daemons.
(A daemon that changes both its environment and its resource limits is not found. If
commands may be hostile and not only careless, run the harness in a container.) It works
the same on every loop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

import within
import within.testing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

# The kernel applies these limits to each process of a command separately.
LIMITED = """
ulimit -c 0
ulimit -v "$1"
ulimit -S -t "$2"
ulimit -H -t $(($2 + 1))
exec sh -c "$3"
"""
PREFIX = f"shell-harness-{os.getpid()}-"  # for the directories


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The resources that a command may use."""

    wall: float = 60  # seconds
    grace: float = 1  # seconds from SIGTERM to SIGKILL
    output: int = 100_000  # bytes of stdout and stderr together
    memory: int = 2**30  # bytes of address space, for each process
    cpu: int = 60  # seconds, for each process


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a command."""

    command: str
    why: str  # "exited", "timed out" or "too much output"
    status: int | None  # negative for a signal; None if unknown
    stdout: str
    stderr: str
    wall: float  # seconds
    cpu: float | None  # seconds; None if unknown
    memory: int | None  # peak, in bytes; None if unknown

    @property
    def ended(self) -> str:
        """How the command ended, with its status or signal."""
        if self.status is None or self.status >= 0:
            return self.why if self.status is None else f"{self.why}, {self.status}"
        try:
            name = signal.Signals(-self.status).name
        except ValueError:  # some real-time signals have no name
            name = f"signal {-self.status}"
        return f"{self.why}, {name}"


async def run(command: str, limits: Limits) -> Report:
    """Run a shell command within limits, and end everything that it started."""
    began = within.current_time()
    words = ("sh", "-ec", LIMITED, "sh", str(limits.memory // 1024), str(limits.cpu))
    async with directory() as home:
        result: Any
        try:
            result, why = (
                await within.run(
                    *words,
                    command,
                    timeout=limits.wall,
                    max_output=limits.output,
                    check=False,
                    stop=within.Stop(grace=limits.grace, tree="all"),
                    cwd=home,
                    env={"PATH": os.defpath, "HOME": home, "LANG": "C.UTF-8"},
                    start_new_session=True,  # detaches it from our terminal
                ),
                "exited",
            )
        except within.ProcessTimeout as error:
            result, why = error, "timed out"
        except subprocess.CalledProcessError as error:  # check=False: only for output
            result, why = error, "too much output"
    usage = result.usage
    return Report(
        command=command,
        why=why,
        status=result.returncode,
        stdout=result.stdout.decode(errors="replace"),
        stderr=result.stderr.decode(errors="replace"),
        wall=usage.wall if usage else within.current_time() - began,
        cpu=usage.user + usage.system if usage else None,
        memory=usage.max_rss if usage else None,
    )


async def run_all(
    commands: Iterable[str], limits: Limits, *, at_once: int
) -> list[Report]:
    """Run many commands, ``at_once`` at a time; return the reports in their order."""
    commands = list(commands)
    reports: dict[int, Report] = {}
    slots = anyio.CapacityLimiter(at_once)

    async def run_one(number: int, command: str) -> None:
        async with slots:
            reports[number] = await run(command, limits)

    async with anyio.create_task_group() as tasks:
        for number, command in enumerate(commands):
            tasks.start_soon(run_one, number, command)
    return [reports[number] for number in range(len(commands))]


@asynccontextmanager
async def directory() -> AsyncIterator[str]:
    """Make a temporary directory, and remove it with everything in it afterwards."""
    made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    try:
        yield made.name
    finally:
        with within.shield():  # a cancelled task cannot wait for a thread
            await anyio.to_thread.run_sync(made.cleanup)


def leftovers() -> list[str]:
    """The command lines of running processes that this harness started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{PREFIX}".encode() in process.joinpath("environ").read_bytes():
                words = process.joinpath("cmdline").read_bytes().split(b"\0")
                found.append(b" ".join(words).decode(errors="replace"))
        except OSError:  # it has exited, or belongs to another user
            continue
    return found


NASTY = {
    "writes to both streams, fails": "echo out; echo err >&2; exit 3",
    "writes invalid UTF-8": r"printf 'caf\351'",
    "kills itself": "kill -SEGV $$",
    "leaves its pipes held open": "sleep 600 & echo started",
    "leaves a daemon": "(setsid sh -c 'sleep 600 & sleep 600' &) ; echo started",
    "never ends": "echo working; sleep 600",
    "ignores SIGTERM": "trap '' TERM; echo no; while :; do sleep 600; done",
    "writes without end": "yes",
    "needs too much memory": "dd if=/dev/zero of=/dev/null bs=2000M count=1",
}


async def main() -> None:
    limits = Limits(wall=0.5, grace=0.2, output=10_000, memory=10**9, cpu=5)
    for name, report in zip(
        NASTY, await run_all(NASTY.values(), limits, at_once=4), strict=True
    ):
        cpu = "?" if report.cpu is None else f"{report.cpu:.2f} s"
        print(
            f"{name:31}{report.ended:24}{report.wall:5.2f} s, cpu {cpu:7}"
            f"{report.stdout[:8]!r:17}{report.stderr[:24]!r}"
        )
    print("left behind:", leftovers())


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
