"""The examples in docstrings, in the README and in docs/ do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest
from doc_blocks import run_page

import within

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in DOCS.rglob("*.md")
    # docs/_build holds copies, and test_migration.py runs the pairs of snippets.
    if page.relative_to(DOCS).parts[0] not in ("_build", "migration")
)
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
    "PopenOptions",
    "Process",
    "ProcessOptions",
    "ProcessTimeout",
    "ReceiveStream",
    "SendStream",
    "Usage",
    "Word",
}


def test_every_public_callable_has_an_example() -> None:
    for name in set(within.__all__) - TYPES - {"current_time"}:
        found = getattr(within, name)
        assert not callable(found) or ">>>" in found.__doc__, name


def test_the_readme() -> None:
    readme = str(ROOT / "README.md")
    assert not doctest.testfile(readme, module_relative=False, optionflags=FLAGS).failed


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page(page: str, tmp_path: Path) -> None:
    run_page(DOCS / page, tmp_path)
