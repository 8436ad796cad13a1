"""The command `within` on Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "win32":
    pytest.skip("these are the tests for Windows", allow_module_level=True)

from windows.programs import FAMILY, FOREVER, Watched, is_gone, is_wine, python

WITHIN = (sys.executable, "-m", "within")

# A limit within which any of these programs ends.
LONG = "600"


def within(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*WITHIN, *map(str, words)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, **options
    )


def test_it_prints_its_help_and_its_version() -> None:
    assert within("--help").stdout.startswith("Usage: within SECONDS")
    assert within("--version").stdout.startswith("within ")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_command_has_our_files_and_we_have_its_status(backend: str) -> None:
    program = "import sys; print(input()); print('woe', file=sys.stderr); sys.exit(3)"
    done = within(LONG, f"--backend={backend}", *python(program), input="hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello\n", "woe\n")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_124_after_the_limit_and_nothing_is_left(backend: str, tmp_path: Path) -> None:
    # The limit counts from the start of Python, which takes its time on a busy machine.
    seconds = 10
    done = within(
        seconds, "-k", "0.05", "-v", f"--backend={backend}", *python(FAMILY + FOREVER)
    )
    assert done.returncode == 124
    assert len(done.stdout.split()) == 4
    assert all(is_gone(int(pid)) for pid in done.stdout.split())
    assert "sending signal TERM" in done.stderr
    assert "sending signal KILL" in done.stderr


def test_the_commands_own_status_is_kept_on_request() -> None:
    done = within("0.1", "-k", "0.05", "--preserve-status", *python(FOREVER))
    assert done.returncode in (0, 1, 0xC000013A)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 125),
        (["soon", "program"], 125),
        (["1", "-s", "HUP", "program"], 125),
        (["1", "-s", "INT", sys.executable, "-c", "pass"], 125),
        (["1", "--backend=uvloop", sys.executable], 125),
        (["1", __file__], 126),
        (["1", "no such program"], 127),
    ],
    ids=str,
)
def test_125_126_127(words: list[str], status: int) -> None:
    done = within(*words)
    assert done.returncode == status
    assert done.stderr.startswith("within: ")
    assert "Traceback" not in done.stderr


def test_a_batch_file_is_found_without_its_ending(tmp_path: Path) -> None:
    (tmp_path / "hello.cmd").write_text("@echo hello %1\n@exit /b 5\n")
    done = within(LONG, tmp_path / "hello", "you")
    assert (done.returncode, done.stdout.strip()) == (5, "hello you")
    refused = within(LONG, tmp_path / "hello", "a&calc")
    assert refused.returncode == 126
    assert "batch file" in refused.stderr


def test_it_reports_what_the_command_has_used() -> None:
    assert "within: wall " in within(LONG, "--usage", *python("pass")).stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_ends_it_and_the_command(backend: str) -> None:
    if not is_wine():
        pytest.skip("nothing can send Ctrl-C to another process but its console")
    from sitecustomize import send_event

    words = [LONG, "-k", "0.05", f"--backend={backend}", *python(FAMILY + FOREVER)]
    running = subprocess.Popen([*WITHIN, *words], stdout=subprocess.PIPE)
    with running:
        assert running.stdout is not None
        found = [Watched(int(pid)) for pid in running.stdout.readline().split()]
        assert send_event(running.pid, 0)
        assert running.wait() == 0xC000013A
        assert [one.wait(10) for one in found] == [True] * 4


def test_nothing_is_left_if_it_is_killed() -> None:
    running = subprocess.Popen([*WITHIN, LONG, *python(FAMILY)], stdout=subprocess.PIPE)
    with running:
        assert running.stdout is not None
        found = [Watched(int(pid)) for pid in running.stdout.readline().split()]
        running.kill()
        assert [one.wait(10) for one in found] == [True] * 4


def test_it_works_in_cmd(tmp_path: Path) -> None:
    script = tmp_path / "run.bat"
    command = subprocess.list2cmdline([*WITHIN, "0.1", "-k", "0.05", *python(FOREVER)])
    script.write_text(f"@{command}\n@echo status %ERRORLEVEL%\n")
    done = subprocess.run(
        ["cmd", "/c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "status 124"
