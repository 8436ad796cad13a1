"""Test suites, each run by a pytest process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

# Makes modules as if they were not installed, before anything is imported.
HIDE = """\
import sys
class Finder:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *args):
        if name.partition(".")[0] not in {hidden!r}:
            return self.finder.find_spec(name, *args)
sys.meta_path = [Finder(finder) for finder in sys.meta_path]
import pytest
sys.exit(pytest.main())
"""


# Plugins that run async tests, or run tests in another way.
NEIGHBOURS = ("asyncio", "trio", "xdist", "randomly")


HEADER = """\
import anyio, pytest, within.testing
async def hour(start=0):
    await anyio.sleep(3600)
    assert within.testing.virtual_clock().now == start + 3600
"""


@dataclass(frozen=True)
class Outcome:
    """The verdicts of pytest, in the order in which the tests ran."""

    tests: list[tuple[str, str]]
    text: str
    status: int

    @property
    def passed(self) -> list[str]:
        assert {outcome for _, outcome in self.tests} == {"PASSED"}, self.text
        return [name for name, _ in self.tests]


def run_pytest(
    path: Path,
    source: str | dict[str, str],
    *options: str,
    hidden: tuple[str, ...] = (),
    plugins: tuple[str, ...] = (),
) -> Outcome:
    """Run pytest on modules in ``path``.

    Args:
        source: The text of one module, or texts by name.
        hidden: Packages that cannot be imported, as if they were not installed.
        plugins: Those of `NEIGHBOURS` that are not disabled.
    """
    (path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    sources = {"it": source} if isinstance(source, str) else source
    for name, text in sources.items():
        (path / f"test_{name}.py").write_text(HEADER + dedent(text))
    how = ["-c", HIDE.format(hidden=hidden)] if hidden else ["-m", "pytest"]
    options = ("-v", "-p", "no:cacheprovider", *options)
    disabled = [name for name in NEIGHBOURS if name not in plugins]
    options = (*(f"-pno:{name}" for name in disabled), "--timeout=120", *options)
    # Nothing of how this very run was started: pytest and Hypothesis both print
    # more where a variable such as CI says so.
    names = ("PATH", "HOME", "TMP", "TEMP", "SYSTEMROOT", "LANG", "LC_", "COVERAGE_")
    done = subprocess.run(
        [sys.executable, *how, *options],
        check=False,
        cwd=path,
        env={k: v for k, v in os.environ.items() if k.startswith(names)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = re.compile(r"test_(\S+)\.py::(.+?) ([A-Z]+)\b.*%\]$", re.MULTILINE)
    tests = [
        (test if name == "it" else f"{name}: {test}", outcome)
        for name, test, outcome in line.findall(done.stdout)
    ]
    return Outcome(tests, done.stdout, done.returncode)
