"""Draws the imports of the package: folders of modules, and an arc for each import.

grimp reads the imports from the source; nothing is imported, and no list is kept.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import permutations
from pathlib import Path

import grimp
from _svg import Drawing, number

SOURCE = Path(__file__).parent.parent / "src" / "within"

# The packages outside that decide how we are built.
LOOPS = ("anyio", "asyncio", "trio")


@dataclass(frozen=True, order=True)
class Import:
    """``importer`` needs ``imported``: at once, or only when a function is called."""

    importer: str
    imported: str
    is_late: bool


@cache
def modules(source: Path = SOURCE) -> dict[str, Path]:
    """Every module by its name within the package; the package itself by its own."""
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts) or source.name] = path
    return found


def imports(source: Path = SOURCE) -> list[Import]:
    """The imports of the running program; those for type checkers do not count."""
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
    """The lines of each function: an import there happens when it is called."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds)
    ]


def rooms(found: list[Import]) -> dict[str, list[str]]:
    """The modules of each folder, in the order that sends the fewest imports upwards.

    The top folder becomes two rooms: the doors, which no module imports, and the
    shared modules.
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
    """The folder of a module. A package belongs to its own folder."""
    is_package = modules()[name].name == "__init__.py" and name != "within"
    return name if is_package else name.rpartition(".")[0]


def _sorted(names: list[str], found: list[Import]) -> list[str]:
    """Each module comes after the modules of its folder that import it."""
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


# Lengths in the units of the picture; on a phone, one unit is 0.75 pixels.
WIDTH, NAMES, ROW, HEAD = 480.0, 186.0, 18.0, 24.0

_TITLES = {
    "doors": "within/: the doors",
    "shared": "within/: shared",
    "outside": "outside the package",
}


def draw(label: str = "architecture") -> str:
    """The markup of the picture."""
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
    # A cubic curve comes three quarters of the way to its control points.
    out = number(NAMES + 16 + (WIDTH - NAMES - 20) * reach / 0.75 * 0.93)
    picture.path(f"M{x} {y1}C{out} {y1} {out} {y2} {x} {y2}", f"arc {looks}")
    picture.path(f"M{x} {y2}l6 -3v6z", f"tip {looks}")


def describe(found: list[Import], plan: dict[str, list[str]]) -> str:
    """The same in words, folder by folder."""
    at = {name: folder for folder, members in plan.items() for name in members}
    told: list[str] = []
    for folder, members in plan.items():
        needs = {at[e.imported] for e in found if at[e.importer] == folder} - {folder}
        if needs:
            count = f"{len(members)} modules" if len(members) > 1 else "1 module"
            told.append(f"{folder} ({count}) imports from {', '.join(sorted(needs))}.")
    return " ".join(told)
