"""The command `within` and the system's `timeout` run the same cases.

There are two tables. In the first, both agree on the exit status or signal that the
parent sees, on stdout, and on whether there is anything on stderr. The second lists the
differences and their reasons. docs/command-line.md shows that table, and a difference
that no longer exists is a failure.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from children import alive
from command_line_runs import WITHIN
from coreutils_cases import (
    ALIKE,
    DIFFERENT,
    NONSENSE,
    REPRESENTATIVES,
    SAME,
    SLEEP,
    Case,
    Difference,
)

from within.__main__ import main

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
TIMEOUT = shutil.which("timeout") or ""
TRIES = 5  # of timeout(1), which has races of its own on a busy machine


@cache
def version() -> tuple[int, ...]:
    """The version of coreutils; (0,) if `timeout` is from another project."""
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
    """One case that is running; the block ends every process that it left."""

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
        with self.process:  # wait for it, and close the pipes
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
        self._kill(left)  # otherwise they would keep the pipes open
        stdout, stderr = self.process.communicate(timeout=60)
        return Outcome(self.process.returncode, seen + stdout, bool(stderr), left)

    def left(self) -> list[int]:
        """The pids of living processes that inherited the mark."""
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
        ("jobs.mk", "all:\n\t+@$(CALL) 60 $(MAKE) -s -f inner.mk\n", 0o644),
        ("inner.mk", "all: a b\na b:\n\t@echo made\n", 0o644),
    ):
        where.joinpath(name).write_text(text)
        where.joinpath(name).chmod(mode)
    return where


def ordinary_and_exhaustive(cases: Iterable[str]) -> list[Any]:
    """Mark the cases that represent nothing that another case does not."""
    return [
        case
        if case in REPRESENTATIVES
        else pytest.param(case, marks=pytest.mark.exhaustive)
        for case in cases
    ]


def test_the_representatives_exist() -> None:
    assert {*ALIKE, *SAME, *DIFFERENT} >= REPRESENTATIVES


QUICK_WORDS = [words for words in (*ALIKE, *NONSENSE) if SLEEP not in words]
SLOW_WORDS = [words for words in ALIKE if SLEEP in words]


@pytest.mark.parametrize("words", [*QUICK_WORDS, *ordinary_and_exhaustive(SLOW_WORDS)])
def test_words(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`within` runs in this process because there are many of them."""
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


@pytest.mark.parametrize("name", ordinary_and_exhaustive(SAME))
def test_the_same(name: str, files: Path) -> None:
    case = SAME[name]
    with Call(WITHIN, case, files) as ours:
        got = ours.outcome()
    if "foreground" not in name:
        assert got.left == []  # timeout(1) does not wait for the rest to die
    for _ in range(TRIES):
        with Call([TIMEOUT], case, files) as call:
            expected = call.outcome()
        if not case.alike:
            expected = replace(expected, said=got.said)
        if replace(expected, left=[]) == replace(got, left=[]):
            return
    assert got == expected


@pytest.mark.parametrize("name", ordinary_and_exhaustive(DIFFERENT))
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
            # Before 9.7, the signal may end it in the instant after its fork. The
            # command runs on all the same.
            call.process.wait(timeout=0.3)
        return "runs on" if call.left() else "ended"


def test_the_page_shows_the_table_of_differences() -> None:
    page = PAGE.read_text()
    rows = [difference.row(what) for what, difference in DIFFERENT.items()]
    assert "\n".join(rows) in page
