"""The processes of a tree are found wherever they went (P3, P7)."""

from __future__ import annotations

import os
import platform
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from children import FOREVER, NEVER_MARKED, alive, line, needs_members

from within import Stop, process, run
from within._processes._posix import _marks, _tree

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("nothing_is_left"),
    needs_members,
]

ALL = Stop(tree="all", grace=0.05)
PYTHON = [sys.executable, "-S", "-E", "-c"]


@contextmanager
def held_by_nobody() -> Iterator[int]:
    """A descriptor for children to inherit. No process may hold it afterwards."""
    readable, writable = os.pipe()
    try:
        yield writable
        os.close(writable)
        writable = -1
        poll = select.poll()
        poll.register(readable, select.POLLHUP)
        assert poll.poll(0), "a process still has it open"
    finally:
        os.close(readable)
        if writable >= 0:
            os.close(writable)


async def test_p7_a_process_that_left_the_group_is_ended_too() -> None:
    script = f"setsid sh -c 'trap \"\" TERM; echo $$; exec sleep {FOREVER}' & wait"
    async with process("sh", "-c", script, stop=ALL) as child:
        pid = int(await line(child))
        assert os.getpgid(pid) != child.pid
    assert not alive(pid)


# What setproctitle, redis, nginx and sshd do: the title is written over the environment.
RETITLED = """
import ctypes, os, sys
os.setsid()
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)
assert not open("/proc/self/environ").read().strip(chr(0))
print(os.getpid(), flush=True)
import time; time.sleep(600)
"""


@pytest.mark.parametrize(
    "way", ["retitled", "env -i", "forked too early", "another mark inside"]
)
async def test_p7_a_daemon_without_the_mark_in_its_environment_is_found(
    way: str,
) -> None:
    start = (
        'import subprocess, sys; subprocess.run([sys.executable, "-c", sys.argv[1]])'
    )
    script = f"env -i setsid sh -c 'echo $$; exec sleep {FOREVER}' & wait"
    command = ["sh", "-c", script]
    if way == "retitled":
        command = [*PYTHON, start, RETITLED]
    elif way == "forked too early":
        command = ["sh", "-c", f"{NEVER_MARKED} & wait"]
    elif way == "another mark inside":
        inner = (
            "import within, within.testing, sys\n"
            "async def main():\n"
            "    stop = within.Stop(tree='all')\n"
            "    async with within.process(*sys.argv[1:], stdout=None, stop=stop) as p:\n"
            "        await p.wait()\n"
            "within.testing.run(main, backend='asyncio')"
        )
        command = [sys.executable, "-c", inner, *command]
    async with process(*command, stop=ALL) as child:
        pid = int(await line(child))
        assert os.getpgid(pid) != child.pid
        if way == "another mark inside":
            child.kill()  # before it can end its own tree
            await child.wait()
        assert alive(pid)
    assert not alive(pid)


async def test_p3_a_child_that_has_joined_our_own_group_is_ended() -> None:
    script = """if True:
        import os, signal
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.setpgid(0, os.getpgid(os.getppid()))
        print("moved", flush=True)
        signal.pause()
    """
    async with process(*PYTHON, script, stop=Stop(grace=60)) as child:
        assert await line(child) == "moved"
        assert os.getpgid(child.pid) == os.getpgid(0)
    assert child.returncode == 7


# A chain of processes, each in a session of its own: no link lives for longer than
# it takes to make the next, and no list of processes is that young.
CHAIN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    sys.stdin.read()
    sys.exit()
print("begun", flush=True)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    until = time.perf_counter() + float(sys.argv[1])
    while time.perf_counter() < until:
        pass
"""


@pytest.mark.parametrize("link", ["0.005", "0.0005", "0"])
async def test_p7_a_process_that_forks_and_exits_again_and_again_is_caught(
    link: str,
) -> None:
    with held_by_nobody() as fd:
        async with process(*PYTHON, CHAIN, link, stop=ALL, pass_fds=[fd]) as child:
            assert await line(child) == "begun"


async def test_p7_the_escapees_of_a_run_and_of_its_trees_in_trees() -> None:
    inner = "setsid sh -c 'setsid sleep 600 & exec sleep 600' &"
    with held_by_nobody() as fd:
        done = await run("sh", "-c", f"{inner} echo", stop=ALL, pass_fds=[fd])
        assert done.stdout == b"\n"


# exit(2) itself, and not the C library's, which ends all threads.
SYS_EXIT = {"x86_64": 60, "aarch64": 93}
THREAD_LIVES_ON = """
import ctypes, os, sys, threading, time
own_session, sys_exit = map(int, sys.argv[1:])
if own_session:
    os.setsid()
def live_on():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    print(os.getpid(), flush=True)
    time.sleep(600)
threading.Thread(target=live_on).start()
ctypes.CDLL(None).syscall(sys_exit, 0)
"""


@pytest.mark.skipif(platform.machine() not in SYS_EXIT, reason="number not known")
@pytest.mark.parametrize("own_session", [False, True])
async def test_p3_p7_a_process_whose_first_thread_has_ended_is_alive(
    own_session: bool,
) -> None:
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
    words = [*PYTHON, THREAD_LIVES_ON, str(int(own_session))]
    number = str(SYS_EXIT[platform.machine()])
    stop = ALL if own_session else Stop(grace=0.05)
    async with process(*PYTHON, script, *words, number, stop=stop) as child:
        pid = int(await line(child))
        assert alive(pid)
        child.kill()
        await child.wait()
        assert alive(pid)
    assert not alive(pid)


async def test_p7_births_elsewhere_do_not_make_it_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # New processes are looked at, but not without end: here there is always one more.
    monkeypatch.setattr(_tree, "_CHASE", 100)
    newest = _tree.newest_pid()

    def one_more() -> int:
        nonlocal newest
        newest += 1
        return newest

    monkeypatch.setattr(_tree, "newest_pid", one_more)
    with anyio.fail_after(60):
        done = await run("echo", stop=ALL)
    assert done.returncode == 0


async def test_p7_another_users_limits_are_read_from_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system call, which is faster, is refused for such a process."""

    def refused(pid: int) -> tuple[int, ...]:
        raise PermissionError

    async with process("sleep", FOREVER) as child:
        mark, other = _marks.new_mark(), _marks.new_mark()
        _marks.mark_limits(child.pid, mark)
        for _ in ("by the call", "by the file"):
            assert _tree.has_marked_limits(child.pid, mark)
            assert not _tree.has_marked_limits(child.pid, other)
            assert _tree.marks_of(child.pid, [other, mark]) == [mark]
            monkeypatch.setattr(_tree, "limit_of", refused)
