"""The command `within`: exit statuses, streams, messages."""

from __future__ import annotations

import os
import re
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
    times_out_when_ready,
    within,
)

from within.__main__ import main


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_124_on_a_timeout_and_the_group_is_gone(backend: str) -> None:
    script = f"sleep {FOREVER} & p=$!; sleep {FOREVER} & echo $p $!; wait"
    done = times_out_when_ready("600", "--backend", backend, "--", "sh", "-c", script)
    assert done.returncode == 124
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert not any(map(alive, pids))
    assert done.stderr == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_streams_are_the_callers_own(backend: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3_000_000))
    with data.open("rb") as source, (tmp_path / "copy").open("wb") as copy:
        words = [*WITHIN, "60", "--backend", backend, "--", "cat"]
        subprocess.run(words, stdin=source, stdout=copy, check=True)
    assert (tmp_path / "copy").read_bytes() == data.read_bytes()


# The same as in coreutils; needed where there is no timeout(1) to compare with.
CASES: list[tuple[int, list[str]]] = [
    (0, ["60", "true"]),
    (7, ["60", "sh", "-c", "exit 7"]),
    (124, ["0.1", "sleep", FOREVER]),
    (124, ["-s", "INT", "0.1", "sleep", FOREVER]),
    (124, ["-f", "0.1", "sleep", FOREVER]),
    (137, ["-s", "KILL", "0.1", "sleep", FOREVER]),
    (143, ["-p", "0.1", "sleep", FOREVER]),
    (125, ["x", "true"]),
    (125, ["60"]),
    (125, ["--no-such-option", "60", "true"]),
    (126, ["60", "/etc/passwd"]),
    (127, ["60", "no-such-command"]),
    (127, ["60", ""]),
]


@pytest.mark.parametrize(("status", "words"), CASES, ids=str)
def test_exit_statuses(status: int, words: list[str]) -> None:
    assert main(words) == status


def test_options_may_follow_the_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["0.1", "-s", "INT", "--", "sleep", FOREVER]) == 124
    assert main(["60", "sh", "-c", "exit 4", "-v"]) == 4
    assert main(["60", "--", "echo", "-v"]) == 0
    assert capfd.readouterr().out == "-v\n"


def test_usage_is_reported_in_one_line_on_stderr() -> None:
    done = within("60", "--usage", "true")
    assert re.fullmatch(r"within: wall \d+\.\d.* MiB\n", done.stderr)


def test_errors_are_one_line_that_names_the_command() -> None:
    assert within("60", "no-such").stderr == (
        "within: failed to run command 'no-such': No such file or directory\n"
    )


def test_a_stderr_that_is_full_changes_nothing() -> None:
    with open("/dev/full", "w") as full:
        words = [*WITHIN, "0.1", "-v", "sleep", FOREVER]
        done = subprocess.run(words, stderr=full, check=False)
    assert done.returncode == 124


def test_in_the_foreground_the_group_is_ours(capfd: pytest.CaptureFixture[str]) -> None:
    script = "ps -o pgid= -p $$"
    assert main(["60", "-f", "sh", "-c", script]) == 0
    assert int(capfd.readouterr().out) == os.getpgrp()
    assert main(["60", "sh", "-c", script]) == 0
    assert int(capfd.readouterr().out) != os.getpgrp()


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


@pytest.mark.parametrize(
    "words", [["--nope"], ["1s2", "true"], ["-s", "X", "1", "true"]]
)
def test_usage_errors_are_one_line(words: list[str]) -> None:
    done = within(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert re.fullmatch(r"within: .* \(see within --help\)\n", done.stderr)


def test_running_out_of_descriptors_is_our_own_failure() -> None:
    script = 'ulimit -n 7; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *WITHIN, "60", "true"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert re.fullmatch("within: .*Too many open files.*\n", done.stderr)


def test_arguments_that_are_not_text() -> None:
    done = subprocess.run(
        [*WITHIN, b"--\xff"], stderr=subprocess.PIPE, check=False, env={"LC_ALL": "C"}
    )
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seconds", ["1e-9", "1e300", "99999999d"])
def test_limits_of_any_length(backend: str, seconds: str) -> None:
    words = ["true"] if float(seconds.rstrip("d")) > 1 else ["sleep", FOREVER]
    status = 0 if words == ["true"] else 124
    assert main([seconds, "--backend", backend, *words]) == status


def test_125_on_a_python_that_cannot_wait_for_a_child(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(os, "waitid", raising=False)  # PyPy has none
    assert main(["60", "echo", "started"]) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("within: child processes need os.waitid()")
