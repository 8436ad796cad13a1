"""A table of peers and situations, and its three shapes: text, Markdown, data."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol, TypeVar

from .environment import NOT_INSTALLED, is_installed, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NOT_APPLICABLE = "–"  # noqa: RUF001

# The widths of the columns of a plain table, in characters.
SITUATION, CELL = 30, 17


class Peer(Protocol):
    """A column: its title, and the modules without which it cannot be measured."""

    @property
    def title(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


AnyPeer = TypeVar("AnyPeer", bound=Peer)


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: dict[str, list[str]]


def can_be_measured(peer: Peer) -> bool:
    return all(map(is_installed, peer.needs))


def tabulate(
    peers: Sequence[AnyPeer], situations: dict[str, Callable[[AnyPeer], str]]
) -> Table:
    """Put every peer into every situation, and record what happens."""
    rows: dict[str, list[str]] = {}
    for situation, measure in situations.items():
        progress(situation)
        rows[situation] = [cell(measure, peer) for peer in peers]
    progress("")
    return Table([peer.title for peer in peers], rows)


def cell(measure: Callable[[AnyPeer], str], peer: AnyPeer) -> str:
    if not can_be_measured(peer):
        return NOT_INSTALLED
    try:
        return measure(peer)
    except Exception as error:  # noqa: BLE001  (a finding for the table)
        return f"breaks down: {error!r}"


def as_text(table: Table) -> str:
    """Aligned columns; a long cell continues on the next line."""
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
