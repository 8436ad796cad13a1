"""The command `within`: which processes and descriptors the command has and leaves."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import ALL, alive, needs_members
from command_line_runs import (
    ALL_BACKENDS,
    BACKENDS,
    FOREVER,
    WITHIN,
    start,
    times_out_when_ready,
    within,
)

from within.__main__ import main

needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
needs_setsid = pytest.mark.skipif(not shutil.which("setsid"), reason="no setsid here")

# -- descriptors --------------------------------------------------------------------


@needs_bash
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_has_every_descriptor_of_the_caller(backend: str) -> None:
    script = '"$@" cat <(echo one); "$@" sh -c "echo two >&3" 3>&1'
    call = [*WITHIN, "60", "--backend", backend]
    done = subprocess.run(
        ["bash", "-c", script, "bash", *call],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("one\ntwo\n", "")


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_the_command_has_no_descriptor_of_ours(backend: str) -> None:
    done = within("60", "--backend", backend, "ls", "/proc/self/fd")
    assert done.stdout.split() == ["0", "1", "2", "3"]  # 3 is the folder itself


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_a_make_inside_has_the_jobserver(tmp_path: Path) -> None:
    call = f"{' '.join(WITHIN)} 60 $(MAKE) -s -f inner.mk"
    tmp_path.joinpath("outer.mk").write_text(f"all:\n\t+@{call}\n")
    tmp_path.joinpath("inner.mk").write_text("all: a b\na b:\n\t@echo made\n")
    make = ["make", "-s", "-j2", "-f", "outer.mk"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(
        make, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("made\nmade\n", "")


# -- the process group --------------------------------------------------------------


def test_p5_the_group_has_a_leader_whose_pid_is_held() -> None:
    """Neither the group's number nor the command's can be reused before the end."""
    script = "g=$(($(ps -o pgid= -p $$))); echo $g $$; grep ^State /proc/$g/status"
    numbers, state = within("60", "sh", "-c", script).stdout.splitlines()
    leader, command = numbers.split()
    assert leader != command
    assert state.split()[1] == "Z"
    assert not Path(f"/proc/{leader}").exists()


@needs_setsid
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_command_that_starts_a_session_is_within_its_limit(backend: str) -> None:
    """Were it the leader of its group, setsid(1) would fork, and its child escape."""
    script = f"sleep {FOREVER} & echo $! $$; wait"
    call = ["600", "--backend", backend, "setsid", "sh", "-c", script]
    done = times_out_when_ready(*call)
    assert done.returncode == 124
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_a_command_may_start_a_session_itself() -> None:
    code = "import os; os.setsid(); print(os.getsid(0) == os.getpid())"
    done = within("60", sys.executable, "-c", code)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


@needs_setsid
def test_signals_reach_a_command_in_a_session_of_its_own() -> None:
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    with start("600", "setsid", "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGUSR1)
        child.communicate(timeout=60)
    assert child.returncode == 9


@pytest.mark.skipif(not shutil.which("timeout"), reason="no timeout here")
def test_kill_reaches_the_command_of_a_timeout_inside() -> None:
    """`timeout` makes a group of its own, and cannot forward KILL to it."""
    script = f"echo $$; exec sleep {FOREVER}"
    done = times_out_when_ready(
        "-s", "KILL", "600", "timeout", "60", "sh", "-c", script
    )
    assert done.returncode == 137
    assert not alive(int(done.stdout))


# -- what the command leaves behind -------------------------------------------------


@needs_bash
@pytest.mark.parametrize("backend", BACKENDS)
def test_p6_a_helper_in_the_group_may_finish_its_output(backend: str) -> None:
    """`exec > >(tee log)`: what tee has read must not be lost."""
    ended = "until grep -q ^State:.Z /proc/$$/status; do sleep 0.01; done; sleep 0.1"
    script = f"exec > >(read line; {ended}; echo $line); echo result: 42"
    done = within("60", "--backend", backend, "bash", "-c", script)
    assert (done.stdout, done.returncode) == ("result: 42\n", 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_p6_what_does_not_finish_is_stopped(backend: str) -> None:
    script = f"sleep {FOREVER} > /dev/null & echo $!"
    done = within("60", "--backend", backend, "sh", "-c", script)
    assert done.returncode == 0
    assert not alive(int(done.stdout))


# Starts a process in a session of its own, and prints its pid.
ESCAPE = f"(setsid sh -c 'echo $$; exec sleep {FOREVER} > /dev/null 2>&1' &) | head -1"


@needs_setsid
@pytest.mark.parametrize("times_out", [True, False])
@pytest.mark.parametrize("tree", ["group", ALL])
def test_tree_all_stops_processes_that_left_the_group(
    tree: str, times_out: bool
) -> None:
    run = times_out_when_ready if times_out else within
    script = f"{ESCAPE}; sleep {FOREVER}" if times_out else ESCAPE
    done = run("600", "--tree", tree, "sh", "-c", script)
    pid = int(done.stdout)
    assert done.returncode == (124 if times_out else 0)
    assert alive(pid) == (tree == "group")
    if tree == "group":
        os.kill(pid, signal.SIGKILL)


def test_tree_child_is_the_foreground(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["60", "--tree=child", "sh", "-c", "ps -o pgid= -p $$"]) == 0
    assert int(capfd.readouterr().out) == os.getpgrp()


@pytest.mark.parametrize("words", ["--tree=", "--tree=families", "-f --tree=group"])
def test_a_tree_that_makes_no_sense(
    words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), "60", "true"]) == 125
    assert "--tree" in capfd.readouterr().err


@needs_members
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("command", [["sh"], ["setsid", "sh"]], ids=" ".join)
def test_p19_the_tree_ends_when_within_is_killed(
    backend: str, command: list[str]
) -> None:
    script = f"sleep {FOREVER} & echo $! $$; wait"
    call = ["600", "--die-with-parent", "--backend", backend, *command, "-c", script]
    with start(*call) as child:
        assert child.stdout is not None
        pids = [int(word) for word in child.stdout.readline().split()]
        ends = [os.pidfd_open(pid) for pid in pids]
        child.kill()
        assert child.stdout.read() == ""  # until all of them have closed it
    for end in ends:
        assert select.select([end], [], [], 60)[0], "it was not killed"
        os.close(end)


# -- the helpers of a command, once it has exited (P6) -------------------------------


@needs_bash
@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_p6_a_helper_that_is_silent_for_long_has_what_is_left_of_the_limit(
    backend: str,
) -> None:
    script = "exec > >(sleep 1.5; cat); echo body"
    done = within("60", "--backend", backend, "bash", "-c", script)
    assert (done.returncode, done.stdout) == (0, "body\n")


@needs_bash
def test_p6_a_helper_that_the_limit_cuts_off_is_reported() -> None:
    script = f"exec > >(cat; exec sleep {FOREVER}); echo body"
    assert times_out_when_ready("60", "bash", "-c", script).returncode == 124


@needs_bash
@pytest.mark.parametrize(
    ("options", "number", "status"),
    [
        ([], signal.SIGTERM, -signal.SIGTERM),
        ([], signal.SIGINT, -signal.SIGINT),
        (["-p"], signal.SIGTERM, 0),
    ],
)
def test_p6_a_signal_ends_the_wait_for_a_helper(
    options: list[str], number: int, status: int
) -> None:
    """The command did well. But its helper did not get to its end, and may have lost
    some of the output."""
    script = f"exec > >(cat; echo $BASHPID; exec sleep {FOREVER}); echo body"
    with start("1000", *options, "-k", "0.5", "bash", "-c", script) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "body\n"
        helper = int(program.stdout.readline())
        program.send_signal(number)
        assert program.wait(60) == status
    assert not alive(helper)


def test_p6_a_job_in_the_background_has_a_second_and_no_more() -> None:
    done = within("0", "sh", "-c", f"sleep {FOREVER} & echo $!")
    assert done.returncode == 0
    assert not alive(int(done.stdout))
