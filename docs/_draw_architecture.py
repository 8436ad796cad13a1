"""Draw the imports of the package: folders of modules, and an arc for each import.

The imports are read from the source with `ast`; no module is imported for this.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import permutations
from pathlib import Path

from _svg import Drawing, number

SOURCE = Path(__file__).parent.parent / "src" / "within"

# Modules outside the package that the picture shows.
LOOPS = ("anyio", "asyncio", "trio")


@dataclass(frozen=True)
class Import:
    """``importer`` imports ``imported``: on loading, or late, in a function."""

    importer: str
    imported: str
    is_late: bool


@cache
def modules(source: Path = SOURCE) -> dict[str, Path]:
    """Return the modules by name, relative to the package, which is ``within``."""
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts) or "within"] = path
    return found


def imports(source: Path = SOURCE) -> list[Import]:
    """Return the imports that happen at run time, without those for type checkers."""
    known = modules(source)
    found: set[Import] = set()
    for name, path in known.items():
        visitor = _Visitor(name, path.name == "__init__.py", known)
        visitor.visit(ast.parse(path.read_text("utf-8")))
        found |= visitor.found
    # A module that imports another on loading and again late has one arc.
    at_once = {(each.importer, each.imported) for each in found if not each.is_late}
    kept = [
        each
        for each in found
        if not each.is_late or (each.importer, each.imported) not in at_once
    ]
    return sorted(kept, key=lambda each: (each.importer, each.imported))


class _Visitor(ast.NodeVisitor):
    def __init__(self, name: str, is_package: bool, known: dict[str, Path]) -> None:
        self.found: set[Import] = set()
        self._name = name
        self._known = known
        parts = ["within", *name.split(".")] if name != "within" else ["within"]
        self._package = parts if is_package else parts[:-1]
        self._depth = 0

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.AST) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  # named by ast

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note(alias.name.split("."))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package[: len(self._package) + 1 - node.level]
        stem = (base if node.level else []) + (node.module or "").split(".")
        stem = [part for part in stem if part]
        for alias in node.names:
            self._note([*stem, alias.name])

    def _note(self, parts: list[str]) -> None:
        """Record the longest prefix of a dotted name that is a module."""
        target = None
        if parts[0] == "within":
            inner = parts[1:]
            while inner and ".".join(inner) not in self._known:
                inner.pop()
            target = ".".join(inner) or "within"
        elif parts[0] in LOOPS:
            target = parts[0]
        if target is not None and target != self._name:
            self.found.add(Import(self._name, target, self._depth > 0))


def rooms(found: list[Import]) -> dict[str, list[str]]:
    """Return the modules by folder, ordered so that few imports point upwards.

    The top folder is split in two: the entry points (``doors``), which no module
    imports, and the shared modules.
    """
    imported = {each.imported for each in found}
    members: dict[str, list[str]] = {}
    for name in modules():
        folder = _folder(name) or ("shared" if name in imported else "doors")
        members.setdefault(folder, []).append(name)
    at = {name: folder for folder, names in members.items() for name in names}
    steps = [
        (at[each.importer], at[each.imported], each.is_late)
        for each in found
        if each.imported in at
    ]

    def badness(folders: tuple[str, ...]) -> tuple[int, int, int]:
        ways = [(folders.index(b) - folders.index(a), late) for a, b, late in steps]
        up = [late for way, late in ways if way < 0]
        return up.count(False), up.count(True), sum(abs(way) for way, _ in ways)

    folders = min(permutations(sorted(members)), key=badness)
    plan = {folder: _sorted(members[folder], found) for folder in folders}
    plan["outside"] = list(LOOPS)
    return plan


def _folder(name: str) -> str:
    """Return the folder that a module is in; a package is in its own folder."""
    is_package = modules()[name].name == "__init__.py" and name != "within"
    return name if is_package else name.rpartition(".")[0]


def _sorted(names: list[str], found: list[Import]) -> list[str]:
    """Sort modules so that each comes after those in its folder that import it."""
    inside = [e for e in found if e.importer in names and e.imported in names]
    try:
        return list(_sorter(names, inside).static_order())
    except CycleError:  # a late import may close a circle
        at_once = [each for each in inside if not each.is_late]
        return list(_sorter(names, at_once).static_order())


def _sorter(names: list[str], inside: list[Import]) -> TopologicalSorter[str]:
    return TopologicalSorter(
        {name: [e.importer for e in inside if e.imported == name] for name in names}
    )


# The picture is WIDTH units wide; on a phone, one unit is 0.75 px.
WIDTH, NAMES, ROW, HEAD = 480.0, 186.0, 18.0, 24.0

_TITLES = {
    "doors": "within/: entry points",
    "shared": "within/: shared",
    "outside": "outside the package",
}


def draw(label: str = "architecture") -> str:
    """Return the picture as SVG markup."""
    found = imports()
    plan = rooms(found)
    picture = Drawing(label, WIDTH, "The imports of within", describe(found, plan))
    place: dict[str, float] = {}
    y = 4.0
    for folder, members in plan.items():
        picture.box(4, y, NAMES - 4, HEAD + ROW * len(members) + 4, "room")
        picture.text(
            12, y + 16, _TITLES.get(folder, f"{folder.replace('.', '/')}/"), "head"
        )
        y += HEAD
        for name in members:
            place[name] = y + ROW / 2
            words = name if name in LOOPS else modules()[name].name
            picture.text(20, y + 13, words, "module")
            y += ROW
        y += 12
    at = {name: folder for folder, members in plan.items() for name in members}
    longest = max(abs(place[e.importer] - place[e.imported]) for e in found)
    for each in found:
        start, end = place[each.importer], place[each.imported]
        reach = abs(end - start) / longest
        looks = f"to-{at[each.imported].strip('_').replace('.', '-')}"
        looks += " late" * each.is_late + " upwards" * (end < start)
        _draw_arc(picture, start, end, reach, looks)
    return picture.done(y)


def _draw_arc(
    picture: Drawing, start: float, end: float, reach: float, looks: str
) -> None:
    x, y1, y2 = number(NAMES), number(start), number(end)
    # A cubic curve only reaches three quarters of the way to its control points.
    out = number(NAMES + 16 + (WIDTH - NAMES - 20) * reach / 0.75 * 0.93)
    picture.path(f"M{x} {y1}C{out} {y1} {out} {y2} {x} {y2}", f"arc {looks}")
    picture.path(f"M{x} {y2}l6 -3v6z", f"tip {looks}")


def describe(found: list[Import], plan: dict[str, list[str]]) -> str:
    """Describe the picture in words, folder by folder."""
    at = {name: folder for folder, members in plan.items() for name in members}
    told: list[str] = []
    for folder, members in plan.items():
        needs = {at[e.imported] for e in found if at[e.importer] == folder} - {folder}
        if needs:
            count = f"{len(members)} modules" if len(members) > 1 else "1 module"
            told.append(f"{folder} ({count}) imports from {', '.join(sorted(needs))}.")
    return " ".join(told)
