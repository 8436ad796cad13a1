"""Draw the imports of the package: folders of modules, and an arc for each import.

grimp reads the imports from the source; no module is imported for this. The order of
the rooms is that of the layers which the linter of imports checks.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
from _svg import Drawing, number

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "within"

# Modules outside the package that the picture shows.
LOOPS = ("anyio", "asyncio", "trio")


@dataclass(frozen=True, order=True)
class Import:
    """``importer`` imports ``imported``: on loading, or late, in a function."""

    importer: str
    imported: str
    is_late: bool


@cache
def modules(source: Path = SOURCE) -> dict[str, Path]:
    """Return the modules by name, relative to the package; itself by its own name."""
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts) or source.name] = path
    return found


def imports(source: Path = SOURCE) -> list[Import]:
    """Return the imports that happen at run time, without those for type checkers."""
    package = source.name
    graph = grimp.build_graph(
        package,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    found: list[Import] = []
    for name, path in modules(source).items():
        importer = name if name == package else f"{package}.{name}"
        functions = _functions(path)
        for imported in graph.find_modules_directly_imported_by(importer):
            if imported.partition(".")[0] not in (package, *LOOPS):
                continue
            details = graph.get_import_details(importer=importer, imported=imported)
            is_late = all(
                any(each["line_number"] in lines for lines in functions)
                for each in details
            )
            found.append(Import(name, imported.removeprefix(f"{package}."), is_late))
    return sorted(found)


def _functions(path: Path) -> list[range]:
    """Return the lines of each function. An import there is late."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds)
    ]


def layers() -> list[str]:
    """Return the parts of the package from top to bottom, as the linter has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (listed,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    return ["within", *re.findall(r"\w+", " ".join(listed))]


def rooms(found: list[Import]) -> dict[str, list[str]]:
    """Return the modules by room, from top to bottom.

    A room is a folder, or a row of modules in the top folder; such a room has the name
    of its first module.
    """
    members: dict[str, list[str]] = {}
    row = ""
    for layer in layers():
        names = [name for name in modules() if name.partition(".")[0] == layer]
        if names and all(_is_row(name) for name in names):
            row = row or layer
            members.setdefault(row, []).extend(names)
        elif names:
            row = ""
            for name in names:
                members.setdefault(_folder(name), []).append(name)
    plan = {room: _sorted(names, found) for room, names in members.items()}
    plan["outside"] = list(LOOPS)
    return plan


def _folder(name: str) -> str:
    """Return the folder that a module is in; a package is in its own folder."""
    is_package = modules()[name].name == "__init__.py"
    return name if is_package else name.rpartition(".")[0]


def _sorted(names: list[str], found: list[Import]) -> list[str]:
    """Sort modules so that each comes after those in its room that import it."""
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


def draw(label: str = "architecture") -> str:
    """Return the picture as SVG markup."""
    found = imports()
    plan = rooms(found)
    picture = Drawing(label, WIDTH, "The imports of within", describe(found, plan))
    place: dict[str, float] = {}
    y = 4.0
    for room, members in plan.items():
        picture.box(4, y, NAMES - 4, HEAD + ROW * len(members) + 4, "room")
        picture.text(12, y + 16, _title(room), "head")
        y += HEAD
        for name in members:
            place[name] = y + ROW / 2
            words = name if name in LOOPS else modules()[name].name
            picture.text(20, y + 13, words, "module")
            y += ROW
        y += 12
    at = {name: room for room, members in plan.items() for name in members}
    longest = max(abs(place[e.importer] - place[e.imported]) for e in found)
    for each in found:
        start, end = place[each.importer], place[each.imported]
        reach = abs(end - start) / longest
        looks = f"to-{_colour(at[each.imported])}"
        looks += " late" * each.is_late + " upwards" * (end < start)
        _draw_arc(picture, start, end, reach, looks)
    return picture.done(y)


def _title(room: str) -> str:
    if room == "outside":
        return "outside the package"
    return "within/" if _is_row(room) else f"{room.replace('.', '/')}/"


def _colour(room: str) -> str:
    """Return the end of the class name for arcs to a room; see pictures.css."""
    return "shared" if _is_row(room) else room.partition(".")[0].strip("_")


def _is_row(room: str) -> bool:
    return room in modules() and modules()[room].parent == SOURCE


def _draw_arc(
    picture: Drawing, start: float, end: float, reach: float, looks: str
) -> None:
    x, y1, y2 = number(NAMES), number(start), number(end)
    # A cubic curve only reaches three quarters of the way to its control points.
    out = number(NAMES + 16 + (WIDTH - NAMES - 20) * reach / 0.75 * 0.93)
    picture.path(f"M{x} {y1}C{out} {y1} {out} {y2} {x} {y2}", f"arc {looks}")
    picture.path(f"M{x} {y2}l6 -3v6z", f"tip {looks}")


def describe(found: list[Import], plan: dict[str, list[str]]) -> str:
    """Describe the picture in words, room by room."""
    called = {
        name: " and ".join(members) if _is_row(room) else room
        for room, members in plan.items()
        for name in members
    }
    needs: dict[str, set[str]] = {}
    for each in found:
        needs.setdefault(called[each.importer], set()).add(called[each.imported])
    return " ".join(
        f"Arcs lead from {room} to {', '.join(sorted(needs[room] - {room}))}."
        for room in dict.fromkeys(called.values())
        if needs.get(room, set()) - {room}
    )
