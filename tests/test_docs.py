"""The examples in docstrings, in the README and in docs/ do what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil
import re
import sys
from inspect import isclass
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import run_page

import within
import within.testing
import within.testing.model

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in DOCS.rglob("*.md")
    # docs/_build holds copies, and test_migration.py runs the pairs of snippets.
    if page.relative_to(DOCS).parts[0] not in ("_build", "migration")
)
NEEDS = {"howto/virtual-time-clocks.md": ("freezegun", "time_machine")}
assert within.run  # from here on, all public names have `within` as their module
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = ["within"] + [
    found.name
    for found in pkgutil.walk_packages(within.__path__, "within.")
    if not found.name.endswith("__main__")
    and (sys.platform == "win32" or "._windows._" not in found.name)
]


def examples(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(importlib.import_module(name), name)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in examples(name):
        runner.run(test)
    assert runner.summarize().failed == 0


# What a user gets or gives, but never calls.
TYPES = {
    "Completed",
    "File",
    "IncompleteOutput",
    "Opening",
    "OutputLimitExceeded",
    "PopenOptions",
    "Process",
    "ProcessOptions",
    "ProcessTimeout",
    "ReceiveStream",
    "SendStream",
    "Server",
    "ServerFailed",
    "Usage",
    "Word",
}


def test_every_public_callable_has_an_example() -> None:
    for name in set(within.__all__) - TYPES - {"current_time"}:
        found = getattr(within, name)
        if isinstance(found, type) and issubclass(found, within.Process | Exception):
            continue  # made by a function that has an example
        assert not callable(found) or ">>>" in found.__doc__, name


@pytest.mark.parametrize("name", ["ReceiveStream", "SendStream"])
def test_a_public_stream_does_not_describe_its_internal_attributes(name: str) -> None:
    assert "Attributes:" not in getattr(within, name).__doc__


def test_help_shows_no_comment() -> None:
    """In place of a missing docstring, help() shows the comment above a function."""
    modules: list[Any] = [within, within.testing, within.testing.model]
    shown: list[str] = []
    for kind in [getattr(it, name) for it in modules for name in it.__all__]:
        methods = inspect.getmembers(kind, inspect.isfunction) if isclass(kind) else []
        for name, method in methods:
            if method.__module__.startswith("within") and not inspect.getdoc(method):
                found = inspect.getcomments(method)
                shown += [f"{kind.__name__}.{name}: {found}"] if found else []
    assert shown == []


def test_the_readme(tmp_path: Path) -> None:
    run_page(ROOT / "README.md", tmp_path)


def test_the_readme_links_to_files_that_read_well_in_the_repository() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    links = set(re.findall(r"\]\(([^)#]+)\)", readme))
    assert len(links) > 15
    for link in links:
        page = ROOT / link
        assert page.is_file(), link
        # No directive and no role of MyST, which nothing renders there.
        assert not re.search(
            r"^ *(```|:::+){(?!code-block)|{[\w:]+}`",
            page.read_text("utf-8"),
            re.MULTILINE,
        )


def test_the_first_example_has_ten_lines_and_is_the_same_on_the_site() -> None:
    readme, index = (
        page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
        for page in (ROOT / "README.md", DOCS / "index.md")
    )
    assert readme == index
    assert len(readme.splitlines()) == 10


def benchmarks() -> dict[tuple[str, str], dict[str, float]]:
    """The medians in seconds, by loop and title, and then by package."""
    text = (DOCS / "benchmarks.json").read_text("utf-8")
    return {
        (figure["loop"], figure["title"]): {
            row["name"]: row["value"]["middle"] for row in figure["rows"]
        }
        for figure in json.loads(text)["figures"]
    }


def test_the_figures_of_why_are_those_of_the_benchmarks() -> None:
    title, figures = "async with timeout(10): pass", benchmarks()
    [row] = [
        line
        for line in (DOCS / "why.md").read_text("utf-8").splitlines()
        if line.startswith(f"| `{title}` |")
    ]
    told = [float(number) for number in re.findall(r" ([\d.]+) µs ", row)]
    asyncio, trio = figures["asyncio", title], figures["trio", title]
    theirs = ("asyncio.timeout", "async-timeout", "quattro", "anyio.fail_after")
    measured = [asyncio["within"], trio["within"], *map(asyncio.get, theirs)]
    measured.append(trio["trio.fail_after"])
    assert told == [round(seconds * 1e6, 1) for seconds in measured if seconds]


def test_the_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    figures = benchmarks()
    units = {"µs": 1e-6, "ms": 1e-3}
    rows = re.findall(
        r"^\| `?([^|`]*)(?:`([^|`]*)`?)? +\| ([\d.]+) (\w+) \| ([\d.]+) \w+ \| ([\d.]+) \w+ \|$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == 3
    for first, second, ours, unit, *theirs in rows:
        measured = figures["asyncio", (first + second).strip()]
        names = next(
            names
            for names in (
                ("within", "asyncio", "anyio"),
                ("within", "asyncio.timeout", "anyio.fail_after"),
            )
            if set(names) <= set(measured)
        )
        for name, told in zip(names, (ours, *theirs), strict=True):
            assert float(told) * units[unit] == pytest.approx(measured[name], rel=0.1)


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page(page: str, tmp_path: Path) -> None:
    for module in NEEDS.get(page, ()):
        pytest.importorskip(module)
    run_page(DOCS / page, tmp_path)
