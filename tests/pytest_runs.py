"""Test suites, each run by a pytest process of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

import forked_pytest

if TYPE_CHECKING:
    import pytest

# Goes before each file. The hour passes quickly only in virtual time.
HEADER = """\
import anyio, pytest, within.testing
async def hour(start=0):
    await anyio.sleep(3600)
    assert within.testing.virtual_clock().now == start + 3600
"""

# Plugins that run async tests, or run tests in another order or way.
NEIGHBOURS = ("asyncio", "trio", "xdist", "randomly")


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

    @property
    def verdicts(self) -> dict[str, str]:
        """By the name of the test without its parameters."""
        return {name.partition("[")[0]: verdict for name, verdict in self.tests}


def run_pytest(
    pytester: pytest.Pytester,
    source: str | dict[str, str],
    *options: str,
    plugins: tuple[str, ...] = (),
) -> Outcome:
    """Run pytest on one module, or on several by name.

    Args:
        plugins: Those of `NEIGHBOURS` that are not disabled.
    """
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    sources = {"it": source} if isinstance(source, str) else source
    for name, text in sources.items():
        pytester.makepyfile(**{f"test_{name}": HEADER + dedent(text)})
    disabled = ["cacheprovider", *(name for name in NEIGHBOURS if name not in plugins)]
    options = (*(f"-pno:{name}" for name in disabled), "--timeout=120", *options)
    status, output = forked_pytest.run_pytest(pytester.path, "-v", *options)
    line = re.compile(r"test_(\S+)\.py::(.+?) ([A-Z]+)\b.*%\]$", re.MULTILINE)
    tests = [
        (test if name == "it" else f"{name}: {test}", outcome)
        for name, test, outcome in line.findall(output)
    ]
    return Outcome(tests, output, status)
