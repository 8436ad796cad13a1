"""`Process.send_signal()`: to the child alone, or to everything that ends with it (P25)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from subprocess import DEVNULL

import anyio
import pytest
from children import needs_members

from within import Process, Stop, process

pytestmark = [
    pytest.mark.anyio,
    needs_members,
]


def script(name: str) -> str:
    """A shell that reports USR1 and USR2 under a name, once it is ready."""
    traps = "; ".join(f"trap 'echo {name} {n}' USR{n}" for n in (1, 2))
    return f"{traps}; echo {name} ready; while :; do sleep 0.01; done"


class Reports:
    """A pipe that stays open after the exit of the child."""

    def __init__(self) -> None:
        self._readable, self.writable = os.pipe()
        self._lines: list[str] = []

    async def next(self, count: int) -> list[str]:
        while len(self._lines) < count:
            await anyio.wait_readable(self._readable)
            self._lines += os.read(self._readable, 4096).decode().splitlines()
        found, self._lines = self._lines[:count], self._lines[count:]
        return sorted(found)

    def close(self) -> None:
        os.close(self._readable)
        os.close(self.writable)


@pytest.fixture
def reports() -> Iterator[Reports]:
    opened = Reports()
    yield opened
    opened.close()


async def start(script: str, reports: Reports, stop: Stop) -> Process:
    return await process(
        *("sh", "-c", script),
        stdin=DEVNULL,
        stdout=reports.writable,
        stderr=DEVNULL,
        stop=stop,
    )


GROUP = Stop(grace=0.05)
ALL = Stop(grace=0.05, tree="all")


async def test_p25_a_signal_goes_to_the_child_alone_or_to_its_group(
    reports: Reports,
) -> None:
    both = f"({script('member')}) & {script('child')}"
    async with await start(both, reports, GROUP) as child:
        assert await reports.next(2) == ["child ready", "member ready"]
        child.send_signal(signal.SIGUSR1)
        assert await reports.next(1) == ["child 1"]
        child.send_signal(signal.SIGUSR2, tree=True)
        assert await reports.next(2) == ["child 2", "member 2"]


async def test_p25_the_group_is_reached_after_the_exit_of_the_child(
    reports: Reports,
) -> None:
    async with await start(f"({script('member')}) &", reports, GROUP) as child:
        assert await reports.next(1) == ["member ready"]
        assert await child.wait() == 0
        child.send_signal(signal.SIGUSR1)
        child.send_signal(signal.SIGUSR2, tree=True)
        assert await reports.next(1) == ["member 2"]
    child.send_signal(signal.SIGUSR2, tree=True)  # does nothing


@pytest.mark.skipif(not shutil.which("setsid"), reason="no setsid here")
async def test_p25_tree_all_reaches_processes_that_left_the_group(
    reports: Reports,
) -> None:
    left = f'setsid sh -c "{script("left")}" &'
    both = f"{left} {script('child')}"
    async with await start(both, reports, ALL) as child:
        assert await reports.next(2) == ["child ready", "left ready"]
        child.send_signal(signal.SIGUSR1, tree=True)
        assert await reports.next(2) == ["child 1", "left 1"]


async def test_p3_p25_sigkill_reaches_a_child_that_leaves_its_group_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is outside when the group is signalled, and inside when we look for it."""
    moves = "import os, signal; os.setpgid(0, os.getpgid(os.getppid()))"
    code = f"{moves}; print('outside', flush=True); signal.pause()"
    async with process(sys.executable, "-c", code, stop=GROUP) as child:
        assert await child.readline() == "outside\n"
        monkeypatch.setattr(child._child.family, "is_child_in_groups", lambda: True)
        child.send_signal(signal.SIGKILL, tree=True)
        with anyio.fail_after(10):
            assert await child.wait() == -signal.SIGKILL
