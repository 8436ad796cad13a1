"""P21: how a child on a terminal of its own ends: hung up, with its whole session."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import anyio
import pytest
from children import ALL, FOREVER, alive, needs_members
from terminals import Screen

import within
from within import Stop, process, server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

WAYS = pytest.mark.parametrize("way", [{}, {"cwd": "/"}], ids=["spawned", "forked"])
FOR_EVER = Stop(grace=600)


@WAYS
async def test_p21_leaving_the_block_hangs_up(way: dict[str, Any]) -> None:
    """And what the child says to that is not lost (P9)."""
    script = "trap 'echo hung up; exit 3' HUP; echo ready; read a; exit 5"
    async with process("sh", "-c", script, pty=True, stop=FOR_EVER, **way) as child:
        screen = Screen(child)
        await screen.sees("ready")
    assert child.returncode == 3
    assert await screen.rest() == "hung up\r\n"


async def test_p21_an_interactive_shell_ends_at_once() -> None:
    """It ignores SIGTERM."""
    shell = ["bash", "--norc", "--noprofile", "-i"]
    env = {**os.environ, "PS1": "$ ", "TERM": "dumb"}
    async with process(*shell, pty=True, env=env, stop=FOR_EVER) as child:
        await Screen(child).prompts("$ ")
    assert child.returncode == -signal.SIGHUP


async def test_p21_an_interactive_shell_with_half_a_line_ends_at_once() -> None:
    """Ctrl-D means nothing there, and bash acts upon the hang-up with its next key."""
    shell = ["bash", "--norc", "--noprofile", "-i"]
    env = {**os.environ, "PS1": "$ ", "TERM": "dumb"}
    async with process(*shell, pty=True, env=env, stop=FOR_EVER) as child:
        screen = Screen(child)
        await screen.prompts("$ ")
        await screen.types("echo half")
        await screen.prompts("echo half")
    assert child.returncode == -signal.SIGHUP


# It has not yet set the terminal up, and throws away what was typed until then.
STARTING = """
import select, signal, sys, termios
signal.signal(signal.SIGHUP, lambda *_: None)
print("ready", flush=True)
select.select([0], [], [])
termios.tcflush(0, termios.TCIFLUSH)
print("read", repr(sys.stdin.read()))
"""


async def test_p21_the_end_is_typed_again_for_a_child_that_is_just_starting() -> None:
    command = [sys.executable, "-c", STARTING]
    async with process(*command, pty=True, stop=FOR_EVER) as child:
        screen = Screen(child)
        await screen.sees("ready")
    assert await screen.sees("read") == "''"
    assert child.returncode == 0


@pytest.mark.parametrize("grace", [0, 0.05, 0.3, 3])
async def test_p4_the_grace_of_a_child_on_a_terminal_is_what_was_asked_for(
    grace: float,
) -> None:
    script = f"trap '' HUP; echo ready; sleep {FOREVER}"
    async with process("sh", "-c", script, pty=True, stop=Stop(grace=grace)) as child:
        await Screen(child).sees("ready")
        began = time.monotonic()
    assert child.returncode == -signal.SIGKILL
    assert grace <= time.monotonic() - began < grace + 10


async def test_p21_another_signal_than_sigterm_is_sent_as_it_is() -> None:
    stop = Stop(signal=signal.SIGUSR1, grace=600)
    script = "trap 'exit 4' USR1; echo ready; read a; exit 5"
    async with process("sh", "-c", script, pty=True, stop=stop) as child:
        await Screen(child).sees("ready")
    assert child.returncode == 4


async def test_p21_closing_stdin_first_types_the_end_of_file() -> None:
    stop = Stop(close_stdin=600)
    script = "stty -echo; echo ready; cat; echo ended"
    async with process("sh", "-c", script, pty=True, stop=stop) as child:
        screen = Screen(child)
        await screen.sees("ready")
    assert child.returncode == 0
    assert await screen.rest() == "ended\r\n"


# `set -m` gives each job a group of its own, as an interactive shell does.
JOBS = f"""
set -m
(trap '' HUP TERM; echo ignores=$$; exec sh -c 'echo pid=$$; exec sleep {FOREVER}') &
sleep {FOREVER} & echo pid=$!
(sleep {FOREVER}; echo never) & echo pid=$!
"""


async def jobs(screen: Screen) -> list[int]:
    found = [int(await screen.sees("pid=")) for _ in range(3)]
    assert len({os.getpgid(pid) for pid in found}) == 3
    return found


@needs_members
@WAYS
@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p21_the_whole_session_is_ended(way: dict[str, Any], tree: Any) -> None:
    """Even a job that ignores SIGHUP, in a group of its own."""
    stop = Stop(grace=0.05, tree=tree)
    script = f"{JOBS}\nsleep {FOREVER}"
    async with process("bash", "-c", script, pty=True, stop=stop, **way) as child:
        pids = await jobs(Screen(child))
        assert all(map(alive, pids))
    assert not any(map(alive, pids))


async def test_p21_only_the_child_is_ended_on_request() -> None:
    stop = Stop(grace=0.05, tree="child")
    script = f"""
    set -m
    (trap '' HUP; exec sh -c 'echo pid=$$; exec sleep {FOREVER}') &
    sleep {FOREVER}
    """
    async with process("bash", "-c", script, pty=True, stop=stop) as child:
        pid = int(await Screen(child).sees("pid="))
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@needs_members
async def test_p6_the_exit_is_the_end_of_a_terminal_that_a_job_holds() -> None:
    """The job is then ended too, though it ignores the hang-up."""
    stop = Stop(grace=0.05)
    async with process("bash", "-c", JOBS, pty=True, stop=stop) as child:
        screen = Screen(child)
        pids = await jobs(screen)
        await screen.rest()
        assert await child.wait() == 0
        assert alive(pids[0])
    assert not any(map(alive, pids))


async def test_p6_a_job_may_write_on_for_a_moment() -> None:
    script = """
    set -m
    (trap '' HUP; read go <"$1"; echo late) &
    echo early
    """
    readable, writable = os.pipe()
    path = f"/proc/self/fd/{readable}"
    options: dict[str, Any] = {"pty": True, "pass_fds": [readable]}
    stop = Stop(pause=60, linger=60)
    command = ["bash", "-c", script, "bash", path]
    async with process(*command, stop=stop, **options) as child:
        os.close(readable)
        assert await child.wait() == 0
        os.write(writable, b"go on\n")
        assert "late\r\n" in await Screen(child).rest()
    os.close(writable)


async def test_p5_a_process_that_left_the_session_is_not_signalled() -> None:
    script = f"setsid sh -c 'echo pid=$$; exec sleep {FOREVER}' & sleep {FOREVER}"
    async with process("bash", "-c", script, pty=True) as child:
        pid = int(await Screen(child).sees("pid="))
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@needs_members
async def test_p3_a_cancelled_block_ends_the_session() -> None:
    pids: list[int] = []
    script = f"{JOBS}\nsleep {FOREVER}"
    with anyio.CancelScope() as scope:
        stop = Stop(grace=0.05)
        async with process("bash", "-c", script, pty=True, stop=stop) as child:
            screen = Screen(child)
            pids = await jobs(screen)
            scope.cancel()
            await screen.rest()
    assert scope.cancelled_caught
    assert not any(map(alive, pids))


async def test_p16_a_child_that_somebody_else_has_reaped() -> None:
    async with process("sh", "-c", "read a", pty=True) as child:
        await Screen(child).types("\n")
        os.waitpid(child.pid, 0)
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            await Screen(child).rest()


PROGRAM = """
import os, signal, sys, within, within.testing
async def main():
    stop = within.Stop(die_with_parent=True)
    async with within.process("bash", "-c", sys.argv[1], pty=True, stop=stop) as child:
        shown = b""
        while shown.count(b"pid=") < 3 or not shown.endswith(b"\\n"):
            shown += await child.stdout.receive()
        os.write(1, shown.replace(b"\\r", b""))
        os.kill(os.getpid(), signal.SIGKILL)
within.testing.run(main, backend="asyncio")
"""


@needs_members
def test_p19_the_session_does_not_outlive_the_program() -> None:
    """Neither do jobs that ignore the hang-up which the kernel sends then."""
    ours, theirs = os.pipe()  # at its end once all of them are gone
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{JOBS}\nsleep {FOREVER}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == -signal.SIGKILL
    pids = [int(x[4:]) for x in done.stdout.split("\n") if x.startswith("pid=")]
    assert len(pids) == 3
    for pid in pids:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            poll = select.poll()
            poll.register(pidfd)
            assert poll.poll(20_000), f"{pid} is alive"
            os.close(pidfd)


async def test_p21_p23_a_server_on_a_terminal_writes_each_line_at_once() -> None:
    code = "import os, time; print('ready', os.isatty(1)); time.sleep(600)"
    python = [sys.executable, "-c", code]
    async with server(*python, pty=True, ready="ready True") as child:
        assert child.log.rstrip() == "ready True"  # the line may not have ended yet
        child.resize(40, 100)
    with pytest.raises(ValueError, match="cannot be combined"):
        server("true", pty=True, stdout=within.DEVNULL)


async def test_p22_what_is_typed_after_the_exit_is_not_lost_silently() -> None:
    """Linux would take it, and nobody would ever read it."""
    async with process("true", pty=True) as child:
        await child.wait()
        with pytest.raises(anyio.BrokenResourceError, match="has no reader"):
            await child.write("hello\n")


async def test_p21_p23_a_server_on_a_terminal_can_be_talked_to() -> None:
    async with server("sh", "-c", "read a; echo got $a", pty=True, stdout=-1) as child:
        await child.write("hello\n")
        assert await child.read() == "hello\ngot hello\n"
        assert child.stderr is None
        assert child.log == ""
