"""The command `within` as a job on a real terminal, under a program that acts as shell.

Each test waits for words on the terminal, or for the shell's report of what became of
its job. None waits for a delay.
"""

from __future__ import annotations

import os
import signal
import termios
from pathlib import Path

import pytest
from children import FINDS_MEMBERS, alive
from command_line_runs import ALL_BACKENDS, BACKENDS, WITHIN
from jobs import CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, session

pytestmark = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="asks /proc what became of a process"
)

# The command certainly has the terminal once it has read a line.
READER = "echo ready; read a; echo first=$a; read b; echo second=$b"


on_every_backend = pytest.mark.parametrize("within", ALL_BACKENDS, indirect=True)


@pytest.fixture(params=BACKENDS)
def within(request: pytest.FixtureRequest) -> list[str]:
    return [*WITHIN, "600", "--backend", request.param]


@on_every_backend
def test_a_command_can_read_the_terminal(within: list[str]) -> None:
    with session(*within, "sh", "-c", READER) as shell:
        shell.sees("ready")
        shell.types(b"one\n")
        assert shell.sees("first=") == "one"
        shell.types(b"two\n")
        assert shell.sees("second=") == "two"
        assert shell.told() == "exited 0"


def test_a_command_that_does_not_read_it_leaves_the_keys_to_us(
    within: list[str],
) -> None:
    """P3: we get Ctrl-C, and stop the command."""
    with session(*within, "sh", "-c", "echo pid=$$; exec sleep 600") as shell:
        pid = int(shell.sees("pid="))
        assert os.tcgetpgrp(shell.keyboard) == shell.job
        shell.types(CTRL_C)
        assert shell.told() == f"killed {signal.SIGINT}"
        assert not alive(pid)


@pytest.mark.parametrize(
    ("key", "number"), [(CTRL_C, signal.SIGINT), (CTRL_BACKSLASH, signal.SIGQUIT)]
)
def test_keys_go_to_a_command_that_reads_it(
    within: list[str], key: bytes, number: int, tmp_path: Path
) -> None:
    command = [*within, "--usage", "sh", "-c", READER]
    with session("env", "-C", str(tmp_path), *command) as shell:
        shell.sees("ready")
        shell.types(b"one\n")
        shell.sees("first=one")
        assert os.tcgetpgrp(shell.keyboard) != shell.job
        shell.types(key)
        shell.sees("within: wall")
        assert shell.told() == f"killed {number}"


def test_a_key_for_a_command_in_a_script_ends_the_script_too(
    within: list[str],
) -> None:
    script = '"$@"; echo; echo went on'
    inner = [*within, "sh", "-c", READER]
    with session("bash", "-c", script, "bash", *inner) as shell:
        shell.sees("ready")
        shell.types(b"one\n")
        shell.sees("first=one")
        shell.types(CTRL_C)
        assert shell.told() == f"killed {signal.SIGINT}"
        assert b"went on" not in shell.shown


@on_every_backend
def test_stopped_by_key_and_continued_while_it_reads(within: list[str]) -> None:
    script = "echo ready; while read a; do echo got=$a; done; exit 7"
    with session(*within, "sh", "-c", script) as shell:
        shell.sees("ready")
        for line in ("one", "two", "three"):
            shell.types(f"{line}\n".encode())
            assert shell.sees("got=") == line
            shell.types(CTRL_Z)
            assert shell.told() == "stopped"
            shell.continues()
        shell.types(CTRL_D)
        assert shell.told() == "exited 7"


def test_stopped_by_key_and_continued_while_it_does_not(within: list[str]) -> None:
    # The command was stopped with us: it says so when it is continued.
    script = "trap 'echo; echo continued' CONT; echo ready; while :; do sleep 0.1; done"
    with session(*within, "sh", "-c", script) as shell:
        shell.sees("ready")
        shell.types(CTRL_Z)
        assert shell.told() == "stopped"
        shell.continues()
        shell.sees("continued")
        shell.types(CTRL_C)
        assert shell.told() == f"killed {signal.SIGINT}"


def test_continued_in_the_background_it_does_not_get_the_terminal(
    within: list[str],
) -> None:
    with session(*within, "sh", "-c", READER) as shell:
        shell.sees("ready")
        shell.types(b"one\n")
        shell.sees("first=one")
        shell.types(CTRL_Z)
        assert shell.told() == "stopped"
        shell.continues("background")
        os.kill(shell.job, signal.SIGALRM)
        assert shell.told() == "exited 124"  # and not "robbed"


def test_in_the_background_a_reader_waits_for_its_limit() -> None:
    """As in coreutils. If we were stopped as well, no limit would strike."""
    command = [*WITHIN, "0.2", "cat"]
    with session(*command, where="background") as shell:
        assert shell.told() == "exited 124"


def test_the_modes_are_restored_after_a_timeout(within: list[str]) -> None:
    script = "stty raw -echo; printf 'ready\\r\\n'; exec sleep 600"
    with session(*within, "sh", "-c", script) as shell:
        shell.sees("ready")
        assert termios.tcgetattr(shell.screen) != shell.modes
        os.kill(shell.job, signal.SIGALRM)
        assert shell.told() == "exited 124"
        assert termios.tcgetattr(shell.screen) == shell.modes


def test_modes_that_a_command_sets_stay(within: list[str]) -> None:
    with session(*within, "stty", "-echo") as shell:
        assert shell.told() == "exited 0"
        assert not termios.tcgetattr(shell.screen)[3] & termios.ECHO


@pytest.mark.parametrize("reads", [True, False])
def test_nothing_is_left_when_the_window_is_closed(
    within: list[str], reads: bool
) -> None:
    script = f"echo pid=$$; {'read a; read b' if reads else 'sleep 600; :'}"
    with session(*within, "sh", "-c", script) as shell:
        pid = int(shell.sees("pid="))
        if reads:
            shell.types(b"one\n")
        shell.hangs_up()
        assert shell.told() == ""  # all of them are gone
        assert not alive(pid)


def test_a_message_does_not_stop_us() -> None:
    """With `stty tostop`, writing to the terminal stops a background process."""
    script = "stty tostop; echo ready; exec sleep 600"
    with session(*WITHIN, "600", "-v", "sh", "-c", script) as shell:
        shell.sees("ready")
        os.kill(shell.job, signal.SIGALRM)
        shell.sees("sending signal TERM")
        assert shell.told() == "exited 124"


@pytest.mark.parametrize("option", ["-f", "--foreground"])
def test_in_the_foreground_it_is_all_one_job(option: str) -> None:
    with session(*WITHIN, "600", option, "sh", "-c", READER) as shell:
        shell.sees("ready")
        shell.types(b"one\n")
        shell.sees("first=one")
        assert os.tcgetpgrp(shell.keyboard) == shell.job
        shell.types(CTRL_Z)
        assert shell.told() == "stopped"
        shell.continues()
        shell.types(b"two\n")
        assert shell.sees("second=") == "two"
        assert shell.told() == "exited 0"


# bash makes a process group of its own when it is interactive, and gives it the terminal.
INTERACTIVE = ["bash", "--norc", "--noprofile", "-i"]


def test_an_interactive_shell_has_job_control(within: list[str]) -> None:
    with session("env", "PS1=", *within, *INTERACTIVE) as shell:
        shell.types(b"echo jobs''=$-\n")
        assert "m" in shell.sees("jobs=")
        shell.types(b"exit 3\n")
        assert shell.told() == "exited 3"


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGTERM])
def test_the_terminal_is_taken_back_from_an_interactive_shell(
    within: list[str], number: int
) -> None:
    """It ignores TERM, and can give nothing back when it is killed."""
    script = '"$@"; echo went on; read a; echo read=$a'
    inner = [*within, "-k", "0.1", *INTERACTIVE]
    with session("env", "PS1=", "bash", "-c", script, "bash", *inner) as shell:
        shell.types(b"echo parent''=$PPID\n")
        os.kill(int(shell.sees("parent=")), number)
        shell.sees("went on")
        shell.types(b"one\n")
        assert shell.sees("read=") == "one"
        assert shell.told() == "exited 0"


def test_ctrl_c_ends_a_command_with_a_session_of_its_own(within: list[str]) -> None:
    command = ["setsid", "sh", "-c", "echo pid=$$; exec sleep 600"]
    with session(*within, *command) as shell:
        pid = int(shell.sees("pid="))
        shell.types(CTRL_C)
        assert shell.told() == f"killed {signal.SIGINT}"
        assert not alive(pid)
