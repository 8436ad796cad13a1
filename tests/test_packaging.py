"""What is declared is what is so: the dependencies, and the one version.

Building and installing takes longer: `./dev package` does it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "within"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Which file may import what an extra brings; whoever has not asked for it never
# comes there.
ROOMS = {
    "trio": ["_backends/_trio.py", "testing/_trio_clock.py"],
    "sniffio": ["_backends/_trio.py"],
    "pytest": ["testing/_pytest.py"],
    "hypothesis": ["testing/model/_strategies.py"],
    "uvloop": [],  # by anyio, which is asked for it
    # Not a name but an expression: the loop that --backend asks for.
    "options.backend": ["_command_line/_main.py"],
}


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0]


DEPENDENCIES = {name_of(found) for found in PROJECT["project"]["dependencies"]}
EXTRAS = {
    name_of(requirement)
    for extra in PROJECT["project"]["optional-dependencies"].values()
    for requirement in extra
} - {"within"}


class Imports(ast.NodeVisitor):
    """The packages that a module imports, wherever in it, but for its types."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name.partition(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            self.found.add((node.module or "").partition(".")[0])

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in ("__import__", "import_module"):
            [name, *_] = node.args
            constant = isinstance(name, ast.Constant)
            self.found.add(
                str(name.value).partition(".")[0] if constant else ast.unparse(name)
            )
        self.generic_visit(node)


def foreign(path: Path) -> set[str]:
    """What a file imports that neither Python nor this package brings."""
    imports = Imports()
    imports.visit(ast.parse(path.read_text()))
    return imports.found - sys.stdlib_module_names - {"within"}


def files() -> Iterator[tuple[str, Path]]:
    for path in SOURCE.rglob("*.py"):
        yield path.relative_to(SOURCE).as_posix(), path


def test_what_is_seen_of_imports(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import os, one.more\n"
        "if TYPE_CHECKING:\n    import types_only\nelse:\n    import two\n"
        "def lazily():\n    from three.more import name\n    from . import near\n"
        "    importlib.import_module('four.more')\n    __import__(five())\n"
    )
    found = {"one", "two", "three", "four", "five()"}
    assert foreign(tmp_path / "module.py") == found


def test_only_what_is_declared_is_imported() -> None:
    for name, path in files():
        allowed = {extra for extra, rooms in ROOMS.items() if name in rooms}
        assert foreign(path) <= DEPENDENCIES | allowed, name


def test_what_is_declared_is_imported() -> None:
    found = set[str]().union(*(foreign(path) for _, path in files()))
    assert found == DEPENDENCIES | {extra for extra in ROOMS if ROOMS[extra]}
    assert {name for name in ROOMS if name.isidentifier()} == EXTRAS


# -- one version -----------------------------------------------------------------


def test_the_version_stands_in_one_place() -> None:
    version = PROJECT["project"]["version"]
    assert importlib.metadata.version("within") == version
    told = subprocess.run(
        [sys.executable, "-m", "within", "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told == f"within {version}\n"
    literal = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.])")
    for place in ("src", "docs", "man"):
        for path in (ROOT / place).rglob("*"):
            if path.suffix in (".py", ".md", ".1"):
                assert not literal.search(path.read_text()), path
