"""The command `within`: the signals that it gets, and how it ends by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import alive
from command_line_runs import (
    ALL_BACKENDS,
    BACKENDS,
    FOREVER,
    WITHIN,
    start,
    times_out_when_ready,
    within,
)


@pytest.mark.parametrize(
    "name",
    [
        "TERM",
        "KILL",
        *(pytest.param(n, marks=pytest.mark.exhaustive) for n in ("INT", "SEGV")),
    ],
)
def test_it_ends_by_the_signal_that_ended_the_command(
    name: str, tmp_path: Path
) -> None:
    done = within("60", "sh", "-c", f"kill -{name} $$", cwd=tmp_path)
    assert done.returncode == -signal.Signals[f"SIG{name}"]


def test_it_dumps_no_core_of_its_own(tmp_path: Path) -> None:
    # The command alone has a limit of 0 for its core.
    call = [*WITHIN, "60", "sh", "-c", "ulimit -c 0; kill -QUIT $$"]
    script = 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"'
    child = subprocess.Popen(["sh", "-c", script, "sh", *call], cwd=tmp_path)
    result = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.wait() == -signal.SIGQUIT
    assert result is not None
    assert result.si_code == os.CLD_KILLED  # and not CLD_DUMPED


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_a_signal_is_forwarded_to_the_group_which_is_then_stopped(
    backend: str, name: str
) -> None:
    # The background process tells its pid itself. If the script told it, the signal
    # could come before exec, while a handler of the shell still swallows it.
    sleeper = f"sh -c 'echo $$; exec sleep {FOREVER}'"
    script = f"trap 'echo got {name}; exit 9' {name}; {sleeper} & wait; wait"
    words = ["600", "-k", "60", "--backend", backend, "--", "sh", "-c", script]
    with start(*words) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.send_signal(signal.Signals[f"SIG{name}"])
        rest, _ = child.communicate(timeout=60)
    assert rest == f"got {name}\n"
    assert child.returncode == 9
    assert not alive(pid)


def test_signals_are_forwarded_while_the_command_is_being_stopped() -> None:
    script = (
        "trap 'echo told' TERM; trap 'echo int; exit 6' INT; echo ready; "
        "while :; do sleep 0.1; done"
    )
    with start("600", "-k", "0", "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGALRM)
        assert child.stdout.readline() == "told\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[0] == "int\n"
    assert child.returncode == 124


@pytest.mark.parametrize("backend", BACKENDS)
def test_usr1_is_forwarded_and_stops_nothing(backend: str) -> None:
    script = (
        "trap 'echo told' USR1; trap 'exit 9' TERM; echo ready; "
        "while :; do wait; sleep 0.05; done"
    )
    with start("600", "--backend", backend, "-k", "0", "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for _ in range(2):
            child.send_signal(signal.SIGUSR1)
            assert child.stdout.readline() == "told\n"
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == 9


def test_verbose_reports_what_is_sent() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done 2> /dev/null"
    done = times_out_when_ready("600", "-v", "-k", "0.1", "sh", "-c", script)
    assert done.stderr.splitlines() == [
        "within: sending signal TERM to command 'sh'",
        "within: sending signal KILL to command 'sh'",
    ]
    assert done.returncode == 137


def test_verbose_reports_what_is_forwarded() -> None:
    script = "trap 'exit 0' USR1; echo ready; while :; do sleep 0.1; done"
    with start("600", "-v", "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGUSR1)
        _, said = child.communicate(timeout=60)
    assert said.startswith("within: sending signal USR1 to command 'sh'\n")


def test_a_real_time_signal_is_reported_by_its_number() -> None:
    number = signal.SIGRTMIN + 2
    done = within("0.1", "-v", "-s", str(int(number)), "sleep", FOREVER)
    assert done.returncode == 124
    assert done.stderr == f"within: sending signal {int(number)} to command 'sleep'\n"


def test_sigchld_inherited_as_ignored_does_not_hide_the_status() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    done = within("60", "sh", "-c", "exit 3", preexec_fn=ignore)
    assert (done.returncode, done.stderr) == (3, "")


# -- a `within` around another ------------------------------------------------------

DEAF = "trap '' TERM; echo $$; while :; do sleep 0.1; done"


@pytest.mark.parametrize(
    ("given", "words", "expected"),
    [("", "-k 6", "4.8"), ("1", "-k 6", "0.8"), ("2", "-k 0", "1.6"), ("", "-k 0", "")],
)
def test_the_command_is_told_how_long_it_has_after_the_first_signal(
    given: str, words: str, expected: str
) -> None:
    env = os.environ | ({"WITHIN_KILL_AFTER": given} if given else {})
    script = "echo $WITHIN_KILL_AFTER"
    done = within("60", *words.split(), "sh", "-c", script, env=env)
    assert done.stdout.strip() == expected


def test_an_inner_within_kills_its_group_in_the_time_that_it_is_given() -> None:
    env = {**os.environ, "WITHIN_KILL_AFTER": "0.1"}
    with start("600", "-k", "600", "sh", "-c", DEAF, env=env) as inner:
        assert inner.stdout is not None
        pid = int(inner.stdout.readline())
        inner.terminate()
        inner.communicate(timeout=60)
    assert inner.returncode == -signal.SIGKILL
    assert not alive(pid)


EXHAUSTIVE = pytest.mark.exhaustive  # five seconds each


@pytest.mark.parametrize(
    ("outer", "inner", "script", "status"),
    [
        ("", "", f"echo $$; exec sleep {FOREVER}", 124),
        pytest.param("--backend=trio -k 6", "-k 600", DEAF, 137, marks=EXHAUSTIVE),
        pytest.param("-k 6", "-k 0 --backend=trio", DEAF, 137, marks=EXHAUSTIVE),
    ],
)
def test_a_limit_in_a_limit(outer: str, inner: str, script: str, status: int) -> None:
    """Once KILL has ended the inner one, nobody could reach its group any more."""
    nested = [*WITHIN, *inner.split(), "600", "sh", "-c", script]
    done = times_out_when_ready(*outer.split(), "600", *nested)
    assert done.returncode == status
    assert not alive(int(done.stdout))


# The command, in a program that gives SIGTERM to a thread of its own: the kernel does not
# interrupt the main thread's wait for it, as with a signal that comes just before the wait.
SIGNAL_ELSEWHERE = f"""
import signal, sys, threading
sys.path.insert(0, {os.path.dirname(__file__)!r})
from children import until_it_waits
from within.__main__ import main

def send():
    sys.stdin.readline()
    until_it_waits(threading.main_thread().native_id)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=send, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_a_signal_that_does_not_interrupt_the_wait_is_forwarded(backend: str) -> None:
    words = ["--backend", backend, FOREVER, "sh", "-c", f"echo ready; sleep {FOREVER}"]
    with subprocess.Popen(
        [sys.executable, "-c", SIGNAL_ELSEWHERE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == "ready\n"
            print(file=program.stdin, flush=True)
            assert program.wait(timeout=30) == -signal.SIGTERM
        finally:
            program.kill()
