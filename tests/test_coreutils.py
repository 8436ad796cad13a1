"""The command `within` beside the system's `timeout`: each case run by both.

Two tables. What is the same: exit status or signal as the parent sees it, what is
written to stdout, and whether anything is said on stderr. What differs: how, and why;
docs/command-line.md shows that table, and a difference that is none any more fails.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Self

import pytest
from children import alive
from coreutils_cases import ALIKE, DIFFERENT, NONSENSE, SAME, Case, Difference

from within.__main__ import main

WITHIN = [sys.executable, "-m", "within"]
PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
TIMEOUT = shutil.which("timeout") or ""
TRIES = 5  # of theirs, which has races of its own when the machine is busy


@cache
def version() -> tuple[int, ...]:
    """Of coreutils; (0,) where `timeout` is none of theirs."""
    if not TIMEOUT:
        return (0,)
    done = subprocess.run(
        [TIMEOUT, "--version"], capture_output=True, text=True, check=False
    )
    match = re.search(r"GNU coreutils\) (\d+)\.(\d+)", done.stdout)
    return tuple(map(int, match.groups())) if match else (0,)


pytestmark = pytest.mark.skipif(version() < (9,), reason="no timeout of coreutils here")


@dataclass
class Outcome:
    status: int
    stdout: bytes
    said: bool
    left: list[int]

    def __str__(self) -> str:
        ended = f"exit {self.status}"
        if self.status < 0:
            ended = f"killed by {signal.Signals(-self.status).name[3:]}"
        return ended + {0: "", 1: ", one left"}.get(len(self.left), ", some left")


class Call:
    """One case under way; who is left of it is ended with the block."""

    _count = count()

    def __init__(self, command: list[str], case: Case, where: Path) -> None:
        self._send = case.send
        self._mark = f"WITHIN_TEST={os.getpid()}.{next(self._count)}"
        script = case.around.replace('"$@"', f'"$@" {case.words}')
        self.process = subprocess.Popen(
            ["env", self._mark, "sh", "-c", script, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=where,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self.process:  # waits, and closes the pipes
            self._kill(self.left())

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def outcome(self) -> Outcome:
        seen = b""
        for number in self._send:
            seen += self.line()
            self.process.send_signal(number)
        self.process.wait(timeout=60)
        left = self.left()
        self._kill(left)  # or the pipes had no end
        stdout, stderr = self.process.communicate(timeout=60)
        return Outcome(self.process.returncode, seen + stdout, bool(stderr), left)

    def left(self) -> list[int]:
        """Who lives and has inherited the mark."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environ = process.joinpath("environ").read_bytes()
                if self._mark.encode() in environ.split(b"\0"):
                    found.append(int(process.name))
        return [pid for pid in found if alive(pid)]

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("files")
    for name, text, mode in (
        ("plain", "", 0o644),
        ("empty", "", 0o755),
        ("plain-script", 'echo "$#" "$1"; exit 5\n', 0o755),
        ("homeless", "#!/no/such/interpreter\n", 0o755),
    ):
        where.joinpath(name).write_text(text)
        where.joinpath(name).chmod(mode)
    return where


@pytest.mark.parametrize("words", [*ALIKE, *NONSENSE])
def test_words(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Ours in this process: there are many."""
    split = shlex.split(words)
    status = subprocess.run([TIMEOUT, *split], check=False).returncode
    theirs = capfd.readouterr()
    assert main(split) == status
    assert (status == 125) == (words in NONSENSE)
    ours = capfd.readouterr()
    assert ours.out == theirs.out
    assert bool(ours.err) == bool(theirs.err)
    if words in NONSENSE:
        assert ours.err.count("\n") == 1


@pytest.mark.parametrize("name", SAME)
def test_the_same(name: str, files: Path) -> None:
    case = SAME[name]
    with Call(WITHIN, case, files) as ours:
        got = ours.outcome()
    if "foreground" not in name:
        assert got.left == []  # theirs may be, for a moment: they do not wait
    for _ in range(TRIES):
        with Call([TIMEOUT], case, files) as call:
            expected = call.outcome()
        if not case.alike:
            expected = replace(expected, said=got.said)
        if replace(expected, left=[]) == replace(got, left=[]):
            return
    assert got == expected


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(name: str, files: Path) -> None:
    difference = DIFFERENT[name]
    case = difference.case
    with Call(WITHIN, case, files) as ours:
        assert str(ours.outcome()) == difference.ours
    if version() < difference.until:
        seen = (theirs(difference, files) for _ in range(TRIES))
        assert difference.theirs in seen


def theirs(difference: Difference, files: Path) -> str:
    with Call([TIMEOUT], difference.case, files) as call:
        if difference.theirs != "runs on":
            return str(call.outcome())
        call.line()
        call.process.send_signal(signal.SIGALRM)
        with suppress(subprocess.TimeoutExpired):
            # Before 9.7 it may end by the signal, in the instant after its fork; the
            # command runs on all the same.
            call.process.wait(timeout=0.3)
        return "runs on" if call.left() else "ended"


def test_the_page_has_the_table_of_differences() -> None:
    page = PAGE.read_text()
    rows = [difference.row(what) for what, difference in DIFFERENT.items()]
    assert "\n".join(rows) in page
