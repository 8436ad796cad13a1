"""Every example in a docstring and in the README does what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import within

FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = ["within"] + [
    found.name
    for found in pkgutil.walk_packages(within.__path__, "within.")
    if not found.name.endswith("__main__")
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


def test_every_public_callable_has_an_example() -> None:
    for name in within.__all__:
        documented = within.__dict__[name].__doc__
        if name not in ("Process", "ProcessTimeout", "Completed", "current_time"):
            assert ">>>" in documented, name


def test_the_readme() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    assert (
        doctest.testfile(str(readme), module_relative=False, optionflags=FLAGS)[0] == 0
    )
