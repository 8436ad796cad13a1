"""`tests/typing` uses every public name, and `./dev types` checks it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from public_attributes import public_attributes

import within

TYPING = Path(__file__).parent / "typing"
FILES = ["blocks.py", "commands.py", "servers.py"]


def used_in(*files: str) -> set[str]:
    """All names, attributes and keywords in the files."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse((TYPING / file).read_text())):
            match node:
                case ast.Name(name) | ast.Attribute(attr=name) | ast.keyword(str(name)):
                    found.add(name)
                case _:
                    pass
    return found


@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("within", FILES),
        ("within.testing", ["kit.py"]),
        ("within.testing.model", ["kit.py"]),
    ],
)
def test_every_public_name_is_used(module: str, files: list[str]) -> None:
    names = importlib.import_module(module).__all__
    assert not set(names) - used_in(*files)


@pytest.mark.parametrize(
    "kind",
    [
        within.Timeout,
        within.DeadlineExceeded,
        within.Process,
        within.Server,
        within.Stop,
    ],
)
def test_every_attribute_is_used(kind: type) -> None:
    assert not public_attributes(kind) - used_in(*FILES)


def test_the_package_is_marked_as_typed() -> None:
    assert Path(within.__file__).with_name("py.typed").exists()
