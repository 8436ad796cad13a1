"""The results of `benchmarks/speed.py`, from the file that it has written."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _draw_headlines
from docutils import nodes
from parts.report import from_data, quantity
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parts.measuring import Result, Row

DATA = Path(__file__).with_name("benchmarks.json")
MISSING = "This copy of the site has no results. To measure them (some minutes):"
COMMAND = "./dev speed --json docs/benchmarks.json"
ANATOMY = (
    "The rest of this page has all figures: a picture for each loop, and below it the "
    "same data as tables. The last column says which ratio we aim for."
)
HEAD = ("", "median", "quartiles", "within / it", "target")


class Benchmarks(SphinxDirective):
    """A section for each loop, with its picture and the same data as tables."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        if not DATA.exists():
            told = nodes.paragraph("", MISSING), nodes.literal_block("", COMMAND)
            return [nodes.note("", *told)]
        data = json.loads(DATA.read_text("utf-8"))
        results, curves = from_data(data)
        where = ", ".join(f"{name} {v}" for name, v in data["versions"].items())
        title = nodes.paragraph("", f"Measured on {data['machine']}, with {where}.")
        with tempfile.TemporaryDirectory() as directory:
            from parts import pictures as sheets  # which needs matplotlib

            sheets.draw(Path(directory), results, curves)
            pictures = {p.stem: p.read_text("utf-8") for p in Path(directory).iterdir()}
        markup = _draw_headlines.draw(results)
        html = f'<figure class="drawn">{markup}</figure>'
        headlines = nodes.raw("", html, format="html")
        told = nodes.paragraph("", ANATOMY)
        return [headlines, title, told, *_sections(results, pictures)]


def _sections(
    results: list[Result], pictures: dict[str, str]
) -> Iterator[nodes.Element]:
    for loop in dict.fromkeys(result.loop for result in results):
        name = re.sub(r"\W+", "-", loop)
        section = nodes.section("", nodes.title("", loop), ids=[f"on-{name}"])
        section += _picture(name, pictures.pop(name))
        for result in results:
            if result.loop == loop:
                over = "" if result.base is None else f" (over {result.base})"
                section += [nodes.rubric("", result.title + over), _table(result)]
        yield section
    if pictures:
        section = nodes.section("", nodes.title("", "At growing sizes"), ids=["sizes"])
        section += [_picture(name, pictures[name]) for name in sorted(pictures)]
        yield section


def _picture(name: str, svg: str) -> nodes.Node:
    svg = svg[svg.index("<svg") :]
    # A page has several pictures, and each of them has an id `figure_1`.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    html = f'<figure class="drawn"><div class="wide">{svg}</div></figure>'
    return nodes.raw("", html, format="html")


def _table(result: Result) -> nodes.Node:
    table = nodes.table()
    group = nodes.tgroup(cols=len(HEAD))
    group += [nodes.colspec(colwidth=1) for _ in HEAD]
    group += nodes.thead("", _row(HEAD))
    group += nodes.tbody("", *[_row(_cells(result, row)) for row in result.rows])
    table += group
    return table


def _cells(result: Result, row: Row) -> list[str]:
    def told(value: float) -> str:
        return quantity(value, result.unit)

    ratio = "" if row.ratio is None else f"{row.ratio.middle:.2f}"
    target = "" if row.target is None else f"≤ {row.target:.2f}"
    if row.is_met is not None:
        target += ", met" if row.is_met else ", not met"
    value = row.value
    spread = f"{told(value.low)} – {told(value.high)}"  # noqa: RUF001
    return [row.name, told(value.middle), spread, ratio, target]


def _row(cells: Iterable[str]) -> nodes.row:
    entries: list[Any] = [nodes.entry("", nodes.paragraph("", cell)) for cell in cells]
    return nodes.row("", *entries)
