"""Descriptors and processes that run out, at each place where one is needed (P16)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from children import ALL, FOREVER, QUICK, alive, line, needs_members

import within
from within import Stop, process, run
from within._processes._posix import _fork, _pump

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

trees = pytest.mark.parametrize("tree", ["child", "group", ALL])


@contextlib.contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """Inside, exactly ``spare`` more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(map(int, os.listdir("/proc/self/fd")))
    hog = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while hog[-1] < last:  # the holes among those that are open
            hog.append(os.dup(hog[0]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hog[-1] + 1 + spare, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in hog:
            os.close(fd)


@contextlib.contextmanager
def nothing_leaks() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


async def closes(child: within.Process, spare: int) -> bool:
    """Whether so many descriptors are enough to end it in the orderly way."""
    with descriptors(spare):
        try:
            await child.aclose()
        except OSError as error:
            assert error.errno == errno.EMFILE
            return False
    return True


async def until_dead(*pids: int) -> None:
    """A killed process is dead in a moment. One that was not is an error, and killed."""
    try:
        with within.timeout(60):
            while any(map(alive, pids)):
                await anyio.sleep(0)
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


# -- EMFILE ----------------------------------------------------------------------


@trees
async def test_p16_a_start_fails_at_each_descriptor_that_is_missing(tree: Any) -> None:
    stop = Stop(tree=tree)
    await run("true", stop=stop)  # makes the imports that come with the first child
    for spare in range(100):
        child = None
        with nothing_leaks():
            with descriptors(spare):
                try:
                    child = await process(
                        "sleep", FOREVER, stderr=subprocess.PIPE, stop=stop
                    )
                except OSError as error:
                    assert error.errno == errno.EMFILE
                    assert "Too many open files" in str(error)
            if child is not None:
                await child.aclose()
        if child is not None:
            break
    assert spare >= 7  # three pipes, and what tells of the exit


@trees
async def test_p16_a_run_fails_at_each_descriptor_that_is_missing(tree: Any) -> None:
    """At its start, or at its end; it does not hang in between."""
    stop, data = Stop(tree=tree, grace=0.05), bytes(100_000)
    await run("true", stop=stop)
    for spare in range(100):
        done = None
        with nothing_leaks(), descriptors(spare):
            try:
                done = await run("cat", input=data, stop=stop)
            except OSError as error:
                assert error.errno == errno.EMFILE
                assert "Too many open files" in str(error)
        if done is not None:
            break
    assert done is not None
    assert done.stdout == data
    assert spare >= 8  # one more, in which all of them are waited for


@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p16_its_end_is_the_same_with_any_number_of_descriptors(
    tree: Any,
) -> None:
    """With few of them there is less politeness, but no process survives."""
    stop = Stop(tree=tree, grace=0.05)
    script = f"trap '' TERM; sleep {FOREVER} & echo $!; wait; exit"
    for spare in range(100):
        with nothing_leaks():
            child = await process("sh", "-c", script, stop=stop)
            pid = int(await line(child))
            ended = await closes(child, spare)
            assert not alive(child.pid)
            await until_dead(pid)
        if ended:
            break
    assert spare >= 2
    assert child.returncode == -signal.SIGKILL


async def test_p16_a_run_is_ended_with_any_number_of_descriptors() -> None:
    """The descriptors run out while it runs, after its start has succeeded."""
    for spare in range(6):
        with nothing_leaks():
            await until_dead(*await run_and_cancel(spare))


async def run_and_cancel(spare: int) -> list[int]:
    """Cancel a run that has only so many descriptors; return its pids."""
    done = anyio.Event()
    reading, writing = os.pipe()

    async def start() -> None:
        script = f"sleep {FOREVER} & echo $! $$ >/dev/fd/{writing}; wait"
        try:
            await run("sh", "-c", script, pass_fds=(writing,), stop=QUICK)
        except OSError as error:
            assert error.errno == errno.EMFILE
        finally:
            done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await anyio.wait_readable(reading)
        with descriptors(spare), anyio.CancelScope(shield=True):
            tasks.cancel_scope.cancel()
            await done.wait()
    pids = [int(word) for word in os.read(reading, 100).split()]
    os.close(reading)
    os.close(writing)
    return pids


async def test_p16_no_descriptor_is_left_to_wait_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has started, and then the last descriptor that is needed is missing."""

    def full(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", full)
    for stop in (QUICK, Stop(tree="child")):
        with nothing_leaks(), pytest.raises(OSError, match="Too many open files"):
            await run("sleep", FOREVER, input=b"data", stop=stop)
        with nothing_leaks(), pytest.raises(OSError, match="Too many open files"):
            async with process("sleep", FOREVER, stop=stop):
                pass


@needs_members
async def test_p16_a_process_that_left_the_group_is_ended_without_descriptors() -> None:
    """The descriptors of its own pipes are free at the end. They are enough to look."""
    script = f"setsid sh -c 'echo $$; exec sleep {FOREVER}' & read -r word"
    for spare in range(100):
        child = await process("sh", "-c", script, stop=Stop(tree="all"))
        pid = int(await line(child))
        ended = await closes(child, spare)
        await until_dead(pid)
        if ended:
            break


async def test_p16_waiting_without_a_descriptor_is_an_error_and_ends_it() -> None:
    with pytest.raises(OSError, match="Too many open files"):
        async with process("sleep", FOREVER) as child:
            with descriptors(0):
                await child.wait()
    assert not alive(child.pid)


async def test_p16_a_run_that_finds_no_way_to_wait_leaves_no_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(_pump.Pump, "__init__", fail)
    with nothing_leaks(), pytest.raises(OSError, match="Too many open files"):
        await run("sleep", FOREVER)


# -- EAGAIN ----------------------------------------------------------------------


@pytest.mark.parametrize("start", [process, run])
@pytest.mark.parametrize("kind", [errno.EAGAIN, errno.ENOMEM])
async def test_p16_there_is_no_process_left_to_start(
    start: Callable[..., Any], kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork(*args: object) -> int:
        raise OSError(kind, os.strerror(kind))

    await run("true")
    with nothing_leaks(), monkeypatch.context() as patched:
        patched.setattr(_fork, "fork_exec", fork)
        with pytest.raises(OSError, match=os.strerror(kind)) as raised:
            await start("sleep", FOREVER)
        assert raised.value.errno == kind
    assert (await run("echo", "hi")).stdout == b"hi\n"


@pytest.mark.parametrize("start", [process, run])
async def test_p16_there_is_no_thread_left_to_wait_in(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no pidfd; a thread counts as a process."""

    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with nothing_leaks(), monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await start("sleep", FOREVER, stop=QUICK)


async def test_p21_a_terminal_while_a_descriptor_above_the_limit_is_inherited() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    above = fcntl.fcntl(0, fcntl.F_DUPFD, 300)  # exec leaves it open
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        async with process("sh", "-c", f"ls /proc/self/fd/{above}", pty=True) as child:
            with within.timeout(60):
                assert "No such file" in await child.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(above)
