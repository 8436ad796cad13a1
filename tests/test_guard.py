"""A tree that ends with the program, even if that is killed (P19)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from children import FINDS_MEMBERS, FOREVER, NEVER_MARKED, alive

import within
from within import Stop, process, run
from within._processes._posix import _guarding, _marks
from within._processes._posix._guard import guard

LOOPS = ["asyncio", "uvloop", "trio"]
STOP = Stop(die_with_parent=True)

pytestmark = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="the guard needs pidfds and /proc"
)

PROGRAM = """
import os, signal, sys, within, within.testing

async def main():
    stop = within.Stop(die_with_parent=True, tree=sys.argv[2])
    async with within.process("sh", "-c", sys.argv[3], stdin=-3, stop=stop) as child:
        for _ in range(int(sys.argv[4])):
            print(await anext(aiter(child)), end="", flush=True)
        {end}
        await child.wait()

within.testing.run(main, backend=sys.argv[1])
"""

# A grandchild in the group, one that has left it and cleared its environment, and all
# of them deaf to what is polite.
TREE = (
    f"trap '' TERM HUP; sleep {FOREVER} & echo $!; "
    f"env -i setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep {FOREVER}' & "
    "echo $$; wait"
)


def until_dead(pids: list[int]) -> float:
    began = time.monotonic()
    while any(map(alive, pids)):
        assert time.monotonic() - began < 30, f"left: {[p for p in pids if alive(p)]}"
        time.sleep(0.001)
    return time.monotonic() - began


def started(
    loop: str, tree: str, script: str, count: int, end: str = ""
) -> tuple[subprocess.Popen[str], list[int]]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(end=end), loop, tree, script, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    return program, [int(program.stdout.readline()) for _ in range(count)]


@pytest.fixture
def killed() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("loop", LOOPS)
def test_p19_a_program_that_is_killed_takes_the_whole_tree_along(
    loop: str, killed: list[int]
) -> None:
    program, pids = started(loop, "all", TREE, 3)
    killed += pids
    with program:
        program.kill()
    until_dead(pids)


@pytest.mark.parametrize(
    "end", ["os.abort()", "os.kill(0, signal.SIGKILL)", "os._exit(3)"]
)
def test_p19_a_crash_and_a_kill_of_the_group_are_no_different(
    end: str, killed: list[int]
) -> None:
    code = f"os.setpgid(0, 0); {end}"
    program, pids = started("asyncio", "all", TREE, 3, code)
    killed += pids
    with program:
        program.wait()
    until_dead(pids)


def test_p19_a_process_that_missed_the_mark_is_ended_too(killed: list[int]) -> None:
    program, pids = started("asyncio", "all", f"{NEVER_MARKED} & wait", 1)
    killed += pids
    with program:
        program.kill()
    until_dead(pids)


def test_p19_what_the_stop_would_leave_alone_is_left_alone(killed: list[int]) -> None:
    program, pids = started("asyncio", "group", TREE, 3)
    killed += pids
    with program:
        program.kill()
    gone = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and _sid(pid) != pid]
    until_dead(gone)
    escaped = [pid for pid in pids if pid not in gone]
    assert all(map(alive, escaped))


def _sid(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_p19_killed_while_a_fork_of_it_lives_on(killed: list[int]) -> None:
    """The fork has a copy of everything, and is not the program."""
    fork = "os.fork() or __import__('time').sleep(600)"
    program, pids = started("asyncio", "group", f"echo $$; sleep {FOREVER}", 1, fork)
    killed += pids
    forks = subprocess.run(
        ["pgrep", "-P", str(program.pid)], capture_output=True, text=True, check=False
    )
    killed += [int(pid) for pid in forks.stdout.split() if int(pid) not in pids]
    program.kill()
    until_dead(pids)
    for pid in killed:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    program.wait()
    assert program.stdout is not None
    program.stdout.close()


@pytest.mark.anyio
async def test_p19_one_guard_serves_all_and_is_no_child_of_ours(
    nothing_is_left: None,
) -> None:
    for _ in range(3):
        assert (await run("echo", "hi", stop=STOP)).stdout == b"hi\n"
        assert guard._trees == {}
    async with process("cat", stop=STOP) as child:
        assert len(guard._trees) == 1
        with pytest.raises(ChildProcessError):  # of any other child
            os.waitpid(-child.pid - 1, os.WNOHANG)
    guard.forked()  # close it here, for the test that looks for what is left


@pytest.mark.anyio
async def test_p19_a_guard_that_was_killed_is_replaced(killed: list[int]) -> None:
    await run("true", stop=STOP)
    [pid] = guards()
    os.kill(pid, signal.SIGKILL)
    until_dead([pid])
    async with process("sleep", FOREVER, stop=STOP):
        [other] = guards()
        assert other != pid
    guard.forked()
    until_dead([other])


@pytest.mark.anyio
async def test_p19_a_guard_that_is_stopped_is_replaced_and_hurts_nobody(
    killed: list[int],
) -> None:
    await run("true", stop=STOP)
    [pid] = guards()
    async with process("cat", stop=STOP) as child:
        os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            for _ in range(1000):  # more than the socket takes
                guard._tell("none", "- none")
        del guard._trees["none"]
        [other] = guards()
        assert other != pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        until_dead([pid])
        assert child.stdin is not None
        assert child.stdout is not None
        await child.stdin.send(b"alive")
        assert await child.stdout.receive() == b"alive"
    guard.forked()
    until_dead([other])


def test_p19_forgetting_a_tree_waits_for_nothing() -> None:
    mark = _marks.new_mark()
    guard._trees[mark] = "+"
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with guard._lock:
            held.set()
            over.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    try:
        guard.forget(mark)
        assert mark not in guard._trees
        assert guard._queued.pop() == f"- {mark}"
    finally:
        over.set()
        other.join()


NO_GUARD = """
import os, select, signal, within, within.testing
from within._processes._posix._guard import guard

async def main():
    stop = within.Stop(die_with_parent=True)
    await within.run("true", stop=stop)
    pidfd = guard._process._pidfd
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    select.select([pidfd], [], [])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    await within.run("true", stop=stop)

within.testing.run(main)
"""


def test_p19_the_death_of_the_guard_sends_no_sigpipe() -> None:
    subprocess.run([sys.executable, "-c", NO_GUARD], check=True)


def guards(at_least: int = 1, of: int | None = None) -> list[int]:
    """The guard of a program, of this one by default, as soon as there is only one."""
    program = b"%d" % (of or os.getpid())
    until = time.monotonic() + 30
    while True:
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-2:-1] == [program] and b"_guarding" in b"".join(words):
                found.append(int(entry.name))
        if at_least <= len(found) <= 1 or time.monotonic() > until:
            return found


NO_CHILD = """
import ctypes, os, sys, threading, within, within.testing
threading.Thread(target=threading.Event().wait, daemon=True).start()
libc = ctypes.CDLL(None)
libc.prctl(36, int(sys.argv[1]), 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

async def main():
    stop = within.Stop(die_with_parent=True)
    await within.run("sh", "-c", "sleep 600 & exit", stop=stop)
    async with within.process("sleep", "600", stop=stop) as child:
        pass

within.testing.run(main)
is_subreaper = ctypes.c_int(-1)
libc.prctl(37, ctypes.byref(is_subreaper), 0, 0, 0)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child", is_subreaper.value)
"""


@pytest.mark.parametrize("subreaper", ["0", "1"])
@pytest.mark.parametrize("around", [[], ["unshare", "-pf", "--mount-proc"]])
def test_p19_a_program_that_waits_for_all_its_children_does_not_see_the_guard(
    around: list[str], subreaper: str
) -> None:
    if around and subprocess.run([*around, "true"], check=False).returncode:
        pytest.skip("no permission for a namespace, or no unshare(1)")
    command = [*around, sys.executable, "-W", "error", "-c", NO_CHILD, subreaper]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"no child {subreaper}\n", "")


@pytest.mark.parametrize("loop", LOOPS)
def test_p19_as_pid_1_the_kernel_is_the_guard(loop: str, killed: list[int]) -> None:
    around = ["unshare", "-pf", "--mount-proc"]
    if subprocess.run([*around, "true"], check=False).returncode:
        pytest.skip("no permission for a namespace")
    script = f"exec 9>&1; sleep {FOREVER} & setsid sleep {FOREVER} & echo $!; wait"
    words = [sys.executable, "-c", PROGRAM.format(end=""), loop, "group", script, "1"]
    with subprocess.Popen([*around, *words], stdout=subprocess.PIPE) as unshare:
        assert unshare.stdout is not None
        unshare.stdout.readline()
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        program = int(children.read_text())
        tree = [int(pid) for pid in descendants(program)]
        killed += tree
        os.kill(program, signal.SIGKILL)
        assert len(tree) == 3
        until_dead(tree)


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


UNBORN = """
import os, sys, within, within.testing

def slow():
    os.write(1, b"%d\\n" % os.getpid())
    os.read(0, 1)

async def main():
    stop = within.Stop(die_with_parent=True)
    await within.run("sleep", sys.argv[1], stdin=0, stdout=1, preexec_fn=slow, stop=stop)

within.testing.run(main)
"""


def pauses(pid: int) -> int:
    """How many times a process has waited for something."""
    status = Path(f"/proc/{pid}/status").read_text()
    [switches] = re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
    return int(switches)


def test_p19_killed_before_the_exec_of_its_child(killed: list[int]) -> None:
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", UNBORN, FOREVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    killed.append(int(program.stdout.readline()))
    [guard] = guards(of=program.pid)
    before = pauses(guard)
    program.kill()
    program.wait()
    until = time.monotonic() + 30
    while pauses(guard) < before + 3:  # it has found nothing, and goes on to look
        assert time.monotonic() < until
        time.sleep(0.001)
    assert alive(killed[0])
    program.communicate(b"!")  # on to the exec
    until_dead(killed)


# -- the messages to the guard --------------------------------------------------------


def test_p19_messages_may_come_in_pieces() -> None:
    mark, other = _marks.new_mark(), _marks.new_mark()
    trees = _guarding.Trees()
    data = f"+ {mark}\n+ {other}\n= {mark} 77 group\n- {other}\n".encode()
    for n in range(len(data)):
        trees.read(data[n : n + 1])
    assert trees._trees == {mark: (77, "group", set())}


@pytest.mark.anyio
@pytest.mark.parametrize("tree", ["child", "group", "all"])
async def test_p19_p5_only_what_bears_the_mark_is_killed(tree: str) -> None:
    """The pid of a leader that is gone may be any process's by now."""
    innocent = subprocess.Popen(["sleep", FOREVER], process_group=0)
    try:
        trees = _guarding.Trees()
        trees.read(f"= {_marks.new_mark()} {innocent.pid} {tree}\n".encode())
        trees.end()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.anyio
async def test_p19_die_with_parent_is_refused_where_it_cannot_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(NotImplementedError, match="needs Linux"):
        await within.run("true", stop=STOP)
