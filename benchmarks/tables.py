"""Two tables, of time limits and of child processes, measured on the machine at hand.

    python benchmarks/tables.py [--markdown] [--json FILE] [--rounds N]

What each way to a time limit, and each way to a child process, does in situations
that programs meet. No cell is written down: each is what happened just now.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import textwrap
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NOT_INSTALLED = "not installed"
NOT_APPLICABLE = "–"  # noqa: RUF001

DISTRIBUTIONS = ("within", "anyio", "trio", "async-timeout", "quattro", "shellous")

# Of a column of plain text, in characters.
SITUATION, CELL = 30, 17


class Peer(Protocol):
    """One column: what it is called, and the modules that it cannot do without."""

    @property
    def title(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


AnyPeer = TypeVar("AnyPeer", bound=Peer)


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: dict[str, list[str]]


def is_installed(peer: Peer) -> bool:
    return all(find_spec(module) is not None for module in peer.needs)


def tabulate(
    peers: Sequence[AnyPeer], situations: dict[str, Callable[[AnyPeer], str]]
) -> Table:
    """Put every peer into every situation, and write down what comes of it."""
    rows: dict[str, list[str]] = {}
    for situation, measure in situations.items():
        progress(situation)
        rows[situation] = [cell(measure, peer) for peer in peers]
    progress("")
    return Table([peer.title for peer in peers], rows)


def cell(measure: Callable[[AnyPeer], str], peer: AnyPeer) -> str:
    if not is_installed(peer):
        return NOT_INSTALLED
    try:
        return measure(peer)
    except Exception as error:  # noqa: BLE001  # a finding, not our own end
        return f"breaks down: {error!r}"


def progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what}")
        sys.stderr.flush()


def as_text(table: Table) -> str:
    """Aligned columns; a long cell goes on in the next line."""
    lines: list[str] = []
    heads = {"situation": table.columns}
    for situation, cells in (heads | table.rows).items():
        wrapped = [textwrap.wrap(situation, SITUATION)]
        wrapped += [textwrap.wrap(cell, CELL) for cell in cells]
        for parts in zip_longest(*wrapped, fillvalue=""):
            first, *rest = parts
            line = "  ".join([first.ljust(SITUATION), *(p.ljust(CELL) for p in rest)])
            lines.append(line.rstrip())
        lines.append("")
    return "\n".join(lines)


def as_markdown(table: Table) -> str:
    def row(parts: Iterable[str]) -> str:
        return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"

    lines = [row(["situation", *table.columns])]
    lines.append("|" + "---|" * (len(table.columns) + 1))
    lines += [row([situation, *cells]) for situation, cells in table.rows.items()]
    return "\n".join([*lines, ""])


def as_data(table: Table) -> list[dict[str, object]]:
    return [
        {"situation": situation, "cells": dict(zip(table.columns, cells, strict=True))}
        for situation, cells in table.rows.items()
    ]


def versions() -> dict[str, str]:
    found = {platform.python_implementation(): platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = NOT_INSTALLED
    return found


def main() -> int:
    import _table_processes
    import _table_timeouts

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="tables of Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there too")
    parser.add_argument(
        "--rounds", type=int, default=51, metavar="N", help="for what is timed"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: give 1 or more")

    where = versions()
    sys.stdout.write(", ".join(f"{name} {v}" for name, v in where.items()) + "\n")
    shape = as_markdown if options.markdown else as_text
    tables: dict[str, Table] = {}
    for title, measure in {
        "time limits": lambda: _table_timeouts.measure(options.rounds),
        "child processes": _table_processes.measure,
    }.items():
        tables[title] = measure()
        sys.stdout.write(f"\n{shape(tables[title])}")
        sys.stdout.flush()
    if options.json is not None:
        data = {"versions": where, **{t: as_data(table) for t, table in tables.items()}}
        options.json.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
