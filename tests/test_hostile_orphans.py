"""Processes that are left to us, kept from us, or not ours at all (P5, P14, P16)."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from typing import Any

import anyio
import pytest
from children import FINDS_MEMBERS, FOREVER, QUICK, alive, line, longer_and_longer

import within
from within import Stop, process, run
from within._processes import _stopping
from within._processes._posix import _child, _lost, _tree

LOOPS = ["asyncio", "uvloop", "trio"]

linux = pytest.mark.skipif(not FINDS_MEMBERS, reason="Linux has these")


def script(code: str, loop: str, *around: str) -> str:
    """What a program prints that runs ``code`` on a loop."""
    program = (
        "import ctypes, os, signal, subprocess, sys, time, within, within.testing\n"
        f"{code}\nwithin.testing.run(main, backend={loop!r})\n"
    )
    done = subprocess.run(
        [*around, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- left to us: we are PID 1, or a subreaper -------------------------------------

SUBREAPER = """
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
other = subprocess.Popen(["true"])  # not ours to reap

async def main():
    for tree in ("group", "all"):
        stop = within.Stop(tree=tree, grace=0.1)
        escape = "setsid sleep 600 &" if tree == "all" else ""
        for _ in range(3):
            try:
                await within.run("sh", "-c", escape + "sleep 600 & sleep 600 & echo; "
                    "sleep 600", timeout=0.1, stop=stop)
            except within.ProcessTimeout:
                pass
            await within.run("sh", "-c", "(true &); (true &); sleep 0.05", stop=stop)
            await within.run("sh", "-c", "sleep 600 & exit 0", stop=stop)
    until = time.monotonic() + 30
    while True:  # what escapes may be reparented a moment later
        zombies = subprocess.run(["ps", "-o", "stat=,comm=", "--ppid", str(os.getpid())],
            capture_output=True, text=True).stdout
        if "sleep" not in zombies or time.monotonic() > until:
            break
    print(sorted(word for word in zombies.split() if word not in ("ps", "R", "R+")))
    print(other.wait())
    for tree in ("group", "all"):
        stop = within.Stop(tree=tree)
        async with within.process("sleep", "600", stop=stop) as child:
            joined = subprocess.Popen(["sleep", "600"], process_group=child.pid)
        print(joined.wait())
"""


@linux
@pytest.mark.parametrize("loop", LOOPS)
def test_p14_a_subreaper_reaps_the_dead_of_its_trees_and_no_other_child(
    loop: str,
) -> None:
    zombies, *statuses = script(SUBREAPER, loop).splitlines()
    assert "sleep" not in zombies
    assert "Z" in zombies  # the one that is not of a tree of ours
    assert statuses == ["0", "-15", "-15"]


@linux
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare(1)")
@pytest.mark.parametrize("loop", LOOPS)
def test_p14_as_pid_1_no_zombie_is_left(loop: str) -> None:
    if subprocess.run(
        ["unshare", "-pf", "--mount-proc", "true"], check=False
    ).returncode:
        pytest.skip("no permission for a namespace")
    code = SUBREAPER.replace("ctypes.CDLL", "assert os.getpid() == 1 #")
    unshare = ("unshare", "-pf", "--mount-proc")
    zombies, *statuses = script(code, loop, *unshare).splitlines()
    assert "sleep" not in zombies
    assert statuses == ["0", "-15", "-15"]


INTERRUPTED = """
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
from within._processes._posix import _family

CHILD = '''
import os, time
if not os.fork():
    os._exit(0)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # it stays a zombie
os.write(1, b"dead")
time.sleep(600)
'''
readable, writable = os.pipe()
mark = _family.mark_family

def interrupted(pid, name):
    assert os.read(readable, 4) == b"dead"
    _family.mark_family = mark
    raise KeyboardInterrupt

async def main():
    _family.mark_family = interrupted
    try:
        await within.run(sys.executable, "-c", CHILD, stdout=writable)
    except KeyboardInterrupt:
        print("interrupted")
    try:
        print(os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG))
    except ChildProcessError:
        print("no child")
"""


@linux
@pytest.mark.parametrize("loop", LOOPS)
def test_p14_no_zombie_is_left_if_the_marking_is_interrupted(loop: str) -> None:
    assert script(INTERRUPTED, loop).split("\n")[:2] == ["interrupted", "no child"]


@pytest.mark.anyio
async def test_p5_a_child_of_others_in_the_group_keeps_its_status(
    nothing_is_left: None,
) -> None:
    async with process("sleep", FOREVER, stdin=subprocess.DEVNULL) as child:
        other = subprocess.Popen(["sleep", FOREVER], process_group=child.pid)
    assert other.wait() == -signal.SIGTERM


# -- kept from us: another pid namespace, another user -----------------------------

# A process that was killed is waited for, for longer than the bounds here.
PATIENT = """
from within._processes import _stopping
_stopping._LAST_PATIENCE = 60
"""

NAMESPACE = f"""
{PATIENT}
async def main():
    began = time.monotonic()
    done = await within.run("sh", "-c", "sleep 600 & echo hi")
    print(done.stdout, time.monotonic() - began < 30)
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await within.run("true", stop=within.Stop(tree="all"))
    print(caught[0].message)
"""


@linux
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare(1)")
@pytest.mark.parametrize("loop", LOOPS)
def test_p16_a_proc_of_another_pid_namespace_is_not_believed(loop: str) -> None:
    if subprocess.run(["unshare", "-pf", "true"], check=False).returncode:
        pytest.skip("no permission for a namespace")
    said = script(NAMESPACE, loop, "unshare", "-pf")
    assert said.startswith("b'hi\\n' True\n")
    assert "another pid namespace" in said


REFUSED = f"""
import warnings
{PATIENT}
def are_over():
    with open("/proc/thread-self/children") as file:
        children = file.read().split()
    return all(") Z " in open("/proc/%s/stat" % pid).read() for pid in children)

async def main():
    began = time.monotonic()
    reading, writing = os.pipe()  # they run until it is closed
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            await within.run("cat", timeout=0.3, user=65534, stdin=reading,
                stop=within.Stop(grace=0.1))
        except within.ProcessTimeout as error:
            print(error.returncode, time.monotonic() - began < 30)
        print(caught[-1].message)
        async with within.process("cat", user=65534, stdin=reading,
                stop=within.Stop(grace=0.1)) as child:
            pass
        try:
            await child.wait()
        except RuntimeError as error:
            print(error)
        os.close(writing)
        while not are_over():
            time.sleep(0.001)
        await within.run("true")  # both are reaped now
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child")
"""


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts another user's")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv(1)")
@pytest.mark.parametrize("loop", LOOPS)
def test_p16_a_child_that_we_may_not_kill_is_reported_at_once(loop: str) -> None:
    setpriv = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
    said = script(REFUSED, loop, *setpriv).splitlines()
    assert said[0] == "None True"
    assert "not permitted to kill it" in said[1]
    assert "could not be killed and was left to itself" in said[2]
    assert said[3] == "no child"


@pytest.mark.anyio
async def test_p16_a_child_that_may_not_be_signalled_does_not_hold_up_aclose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = True

    def may_signal(pid: int) -> bool:
        return not refused

    def kill(pid: int, number: int) -> None:
        if refused:
            raise PermissionError
        real(pid, number)

    monkeypatch.setattr(_stopping, "_LAST_PATIENCE", 60)
    real, real_group = os.kill, os.killpg
    child = await process("sleep", FOREVER, stop=QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(_tree.os, "kill", kill)
        patched.setattr(_tree.os, "killpg", kill)
        began = time.monotonic()
        with pytest.warns(ResourceWarning, match="not permitted"):
            await child.aclose()
        assert time.monotonic() - began < 30
    assert alive(child.pid)
    refused = False
    real_group(child.pid, signal.SIGKILL)
    with within.timeout(60):
        while alive(child.pid):
            pass
    _lost.end_lost()
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)


@pytest.mark.anyio
async def test_p14_a_child_whose_finalizer_was_interrupted_is_ended_later(
    nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"sleep {FOREVER} & echo $!; wait"
    child = await process("sh", "-c", script, stdin=subprocess.DEVNULL)
    pids = [child.pid, int(await line(child))]
    with monkeypatch.context() as patched:
        patched.setattr(_child.Child, "drop", lambda self: None)
        del child
        gc.collect()
    assert all(map(alive, pids))
    await run("true")  # any start looks after those that were lost
    with within.timeout(60):
        while any(map(alive, pids)):
            await anyio.sleep(0)
    _lost.end_lost()


# -- signals that our thread has blocked -------------------------------------------


@pytest.mark.anyio
async def test_p16_a_child_starts_with_no_signal_blocked(nothing_is_left: None) -> None:
    status = ("grep", "SigBlk", "/proc/self/status")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    try:
        assert int((await run(*status)).stdout.split()[1], 16) == 0
        for limit in longer_and_longer():
            with pytest.raises(within.ProcessTimeout) as raised:
                await run("sleep", FOREVER, timeout=limit, stop=Stop(grace=60))
            if raised.value.returncode is not None:  # it had begun
                break
        assert raised.value.returncode == -signal.SIGTERM
        calls: list[Any] = []
        await run("true", preexec_fn=lambda: calls.append(1))
        assert calls == []  # in the child, not here
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- a system with nothing of Linux's ----------------------------------------------


@pytest.mark.anyio
async def test_p16_nothing_that_only_linux_has_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fcntl
    import resource

    for module, names in (
        (os, ("pidfd_open", "P_PIDFD")),
        (signal, ("pidfd_send_signal",)),
        (fcntl, ("F_GETPIPE_SZ", "F_SETPIPE_SZ")),
        (resource, ("prlimit", "RLIMIT_RTTIME")),
    ):
        for name in names:
            monkeypatch.delattr(module, name, raising=False)
    monkeypatch.setattr(_tree._proc, "is_usable", False)
    assert (await run("cat", input=bytes(300_000))).stdout == bytes(300_000)
    async with process("sh", "-c", f"sleep {FOREVER} & echo $!", stop=QUICK) as child:
        await line(child)
        await child.wait()
    with pytest.warns(RuntimeWarning, match='tree="all" finds only'):
        await run("true", stop=Stop(tree="all"))
    with pytest.raises(NotImplementedError, match="die_with_parent"):
        await run("true", stop=Stop(die_with_parent=True))
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            async with process("sleep", FOREVER, stop=QUICK):
                pass
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_p16_the_python_that_lacks_something_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "waitid", raising=False)
    with pytest.raises(NotImplementedError, match=f"this {sys.implementation.name} "):
        process("true")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
