"""The command `within`, run as a user runs it; statuses as coreutils has them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from within.__main__ import main

BACKENDS = ("asyncio", "uvloop", "trio")
WITHIN = [sys.executable, "-m", "within"]
FOREVER = "600"


def within(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "timeout": 60, **options}
    return subprocess.run(
        [*WITHIN, *words], text=True, capture_output=True, check=False, **options
    )


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("backend", BACKENDS)
def test_124_when_it_times_out_and_nothing_is_left(backend: str) -> None:
    script = f"sleep {FOREVER} & echo $!; sleep {FOREVER} & echo $!; wait"
    done = within("1", "--backend", backend, "--", "sh", "-c", script)
    assert done.returncode == 124
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))
    assert done.stderr == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_streams_are_the_callers_own(backend: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3_000_000))
    with data.open("rb") as source, (tmp_path / "copy").open("wb") as copy:
        words = [*WITHIN, "60", "--backend", backend, "--", "cat"]
        subprocess.run(words, stdin=source, stdout=copy, check=True)
    assert (tmp_path / "copy").read_bytes() == data.read_bytes()


# What it says, beside what coreutils' own timeout says where that is installed.
CASES: list[tuple[int, list[str]]] = [
    (0, ["60", "true"]),
    (1, ["60", "false"]),
    (7, ["60", "sh", "-c", "exit 7"]),
    (124, ["0.1", "sleep", FOREVER]),
    (124, ["0.1s", "sleep", FOREVER]),
    (124, ["-s", "INT", "0.1", "sleep", FOREVER]),
    (124, ["--signal=sigint", "0.1", "sleep", FOREVER]),
    (124, ["-s", "2", "0.1", "sleep", FOREVER]),
    (124, ["--foreground", "0.1", "sleep", FOREVER]),
    (137, ["-s", "KILL", "0.1", "sleep", FOREVER]),
    (
        137,
        ["-k", "0.1", "1", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
    ),
    (143, ["--preserve-status", "0.1", "sleep", FOREVER]),
    (
        3,
        [
            "--preserve-status",
            "1",
            "sh",
            "-c",
            "trap 'exit 3' TERM; sleep 600 & wait",
        ],
    ),
    (0, ["0", "true"]),
    (0, ["1m", "true"]),
    (0, ["1h", "true"]),
    (0, ["1d", "true"]),
    (0, ["1e3", "true"]),
    (0, ["inf", "true"]),
    (125, ["x", "true"]),
    (125, ["1x", "true"]),
    (125, ["", "true"]),
    (125, ["60"]),
    (125, []),
    (125, ["--no-such-option", "60", "true"]),
    (125, ["-s", "NO", "60", "true"]),
    (125, ["-k", "x", "60", "true"]),
    (126, ["60", "/etc/passwd"]),
    (126, ["60", "/"]),
    (127, ["60", "no-such-command"]),
    (127, ["60", ""]),
]


@pytest.mark.parametrize(("status", "words"), CASES, ids=lambda value: str(value))
def test_statuses_and_options(status: int, words: list[str]) -> None:
    assert main(words) == status
    if timeout := shutil.which("timeout"):
        theirs = subprocess.run(
            [timeout, *words],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        # Killed by a signal, timeout kills itself by it too: to a shell the same.
        code = theirs.returncode
        assert status == (code if code >= 0 else 128 - code)


def test_128_and_the_signal_that_ended_it() -> None:
    assert within("60", "sh", "-c", "kill -TERM $$").returncode == 128 + 15
    assert within("60", "sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_options_may_follow_the_seconds() -> None:
    assert within("0.1", "-s", "INT", "--", "sleep", FOREVER).returncode == 124
    assert within("60", "sh", "-c", "exit 4", "-v").returncode == 4
    assert within("60", "--", "echo", "-v").stdout == "-v\n"


def test_verbose_says_what_is_sent() -> None:
    script = "trap '' TERM; while :; do sleep 0.1; done"
    done = within("1", "-v", "-k", "0.1", "sh", "-c", script)
    assert done.stderr.splitlines() == [
        "within: sending signal TERM to command 'sh'",
        "within: sending signal KILL to command 'sh'",
    ]
    assert done.returncode == 137


def test_usage_is_a_line_on_stderr() -> None:
    done = within("60", "--usage", "true")
    assert done.stderr.startswith("within: wall 0.")
    assert done.stderr.endswith(" MiB\n")


def test_errors_are_one_line_that_names_the_command() -> None:
    assert within("60", "no-such").stderr == (
        "within: failed to run command 'no-such': No such file or directory\n"
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_to_the_tree_which_is_stopped(
    backend: str, number: int
) -> None:
    name = signal.Signals(number).name[3:]
    script = (
        f"trap 'echo got {name}; exit 9' {name}; sleep {FOREVER} & echo $!; wait; wait"
    )
    child = subprocess.Popen(
        [*WITHIN, "600", "--backend", backend, "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.send_signal(number)
    rest, _ = child.communicate(timeout=60)
    assert rest == f"got {name}\n"
    assert child.returncode == 9
    assert not is_alive(pid)


def test_signals_are_passed_on_while_it_is_being_stopped() -> None:
    script = "trap 'echo told' TERM; trap 'echo int; exit 6' INT; while :; do sleep 0.1; done"
    child = subprocess.Popen(
        [*WITHIN, "1", "-k", "0", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "told\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "int\n"
    assert child.returncode == 124


def test_sigchld_inherited_as_ignored_does_not_hide_the_status() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    done = within("60", "sh", "-c", "exit 3", preexec_fn=ignore)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_real_time_signal_has_a_number_for_a_name() -> None:
    number = signal.SIGRTMIN + 2
    done = within("0.1", "-v", "-s", str(int(number)), "sleep", FOREVER)
    assert done.returncode == 124
    assert done.stderr == f"within: sending signal {int(number)} to command 'sleep'\n"


def test_a_stderr_that_is_full_changes_nothing() -> None:
    with open("/dev/full", "w") as full:
        words = [*WITHIN, "0.1", "-v", "sleep", FOREVER]
        done = subprocess.run(words, stderr=full, check=False)
    assert done.returncode == 124


def test_in_the_foreground_the_group_is_ours() -> None:
    ps = ["ps", "-o", "pgid=", "-p"]
    script = " ".join([*ps, "$$"])
    ours = within("60", "-f", *ps, str(os.getpid()))
    assert within("60", "-f", "sh", "-c", script).stdout == ours.stdout
    assert within("60", "sh", "-c", script).stdout != ours.stdout


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert main(["60", "--version"]) == 0
    assert capsys.readouterr().out.startswith("within ")


def test_in_process(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["60", "--usage", "-v", "--", "echo", "hi"]) == 0
    assert capfd.readouterr().out == "hi\n"
    assert main(["60", "--backend", "curio", "true"]) == 125
    assert "asyncio, uvloop or trio" in capfd.readouterr().err


def test_a_loop_that_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['trio'] = None; from within.__main__ import main; "
        "sys.exit(main(['60', '--backend', 'trio', 'true']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 125
    assert done.stderr == "within: trio is not installed: pip install within[trio]\n"
