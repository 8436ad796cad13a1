"""Kernels and surroundings that misbehave (P15, P16)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading

import anyio
import pytest
from children import FAMILY, FINDS_MEMBERS, FOREVER, alive, line

import within
from within import Stop, process, run
from within._processes._descriptors import Descriptors
from within._processes._posix import _exit

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds")


# -- P15, P16 ------------------------------------------------------------------


async def test_p15_without_pidfd_a_thread_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    done = await run("sh", "-c", f"echo hi; sleep {FOREVER} & echo $!", text=True)
    assert not alive(int(done.stdout.split()[1]))
    async with process("sleep", FOREVER) as child:
        with within.move_on_after(0):
            await child.wait()
    assert child.returncode == -signal.SIGTERM
    with pytest.raises(within.ProcessTimeout):
        await run("sh", "-c", FAMILY, timeout=0.1)
    join_waiting_threads()


def join_waiting_threads() -> None:
    """Each ends with its child, but takes a moment to close its pipe."""
    for thread in threading.enumerate():
        if thread.name.startswith("within-wait"):
            thread.join()


async def test_p15_a_sandbox_that_forbids_pidfd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", forbidden, raising=False)
    assert (await run("echo", "hi")).stdout == b"hi\n"
    join_waiting_threads()


async def test_p16_sigchld_is_ignored() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            done = await run("echo", "hi", check=False)
        assert (done.stdout, done.returncode) == (b"hi\n", 255)
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            async with process("sleep", FOREVER) as child:
                pass
        assert not alive(child.pid)
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            done = await run("sh", "-c", f"sleep {FOREVER} & echo $!", check=False)
        if FINDS_MEMBERS:  # the number of the group may be any group's by now (P5)
            assert not alive(int(done.stdout))
        else:
            os.kill(int(done.stdout), signal.SIGKILL)
    finally:
        signal.signal(signal.SIGCHLD, before)


@needs_pidfd
async def test_p16_sigchld_is_ignored_and_it_was_gone_before_we_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pidfd_open, opened = os.pidfd_open, []

    def late(pid: int) -> int:
        if not opened:
            opened.append(pid)
            while alive(pid):
                pass
        return pidfd_open(pid)

    monkeypatch.setattr(os, "pidfd_open", late)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            done = await run("sh", "-c", f"sleep {FOREVER} & echo $!", check=False)
        assert not alive(int(done.stdout))
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_p16_descriptors_run_out_while_it_runs() -> None:
    """Without descriptors there is no time for politeness, but no process survives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hog: list[int] = []
    script = f"sleep {FOREVER} & echo $!; read x"
    for tree in ("group", "all") if FINDS_MEMBERS else ("group",):
        stop = Stop(tree=tree)  # type: ignore[arg-type]
        child = await process("sh", "-c", script, stop=stop)
        pid = int(await line(child))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            with contextlib.suppress(OSError):
                while True:
                    hog.append(os.open(os.devnull, os.O_RDONLY))
            with contextlib.suppress(OSError):
                await child.aclose()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            while hog:
                os.close(hog.pop())
        assert not alive(child.pid)
        with within.timeout(60):  # killed with its group, not waited for
            while alive(pid):
                await anyio.sleep(0)


@needs_pidfd
async def test_p16_no_descriptor_is_left_for_the_exit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", full)
    for start in (process, run):
        with pytest.raises(OSError, match="Too many open files"):
            await start("sleep", FOREVER)


@pytest.mark.parametrize("failing", range(1, 5))
async def test_p16_no_descriptor_is_left_for_a_pipe(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    pipe = os.pipe

    def full() -> tuple[int, int]:
        nonlocal made
        made += 1
        if made == failing:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", full)
    with pytest.raises(OSError, match="Too many open files"):
        await process("sleep", FOREVER, stderr=subprocess.PIPE)


def test_exit_of_a_child_that_is_gone_already() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with Descriptors() as held:
        assert os.read(_exit.open_exit(child.pid, held), 1) == b""
