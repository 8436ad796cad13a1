"""What within costs on each loop, next to its peers and to lower bounds.

    python benchmarks/speed.py [--quick] [--only WORD ...] [--curves]
                               [--json FILE] [--pictures DIR]
    python benchmarks/speed.py --from FILE --pictures DIR

Prints a table for each loop, and which targets are met. This is not a test: the exit
status is 0 whatever the figures are. README.md in this folder explains the method.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from parts import (
    anatomy,
    imports,
    lateness,
    many_timeouts,
    one_timeout,
    processes,
    report,
)
from parts.curves import curves
from parts.environment import LOOPS, is_installed, load_peers, progress, versions
from parts.measuring import Curve, Figure, Result, measure


class Subject(Protocol):
    def __call__(self, loop: str, *, quick: bool) -> list[Figure]: ...


# Children come first: uvloop forks, and a fork takes longer the more memory we hold.
SUBJECTS: list[Subject] = [
    one_timeout.figures,
    anatomy.figures,
    lateness.figures,
    many_timeouts.figures,
]
if os.name == "posix":
    from parts import command, many_children  # which need a POSIX system

    SUBJECTS[:0] = [processes.figures, many_children.figures]


def figures(*, quick: bool) -> Iterator[Figure]:
    """All figures, subject by subject."""
    for subject in SUBJECTS:
        for loop in filter(is_installed, LOOPS):
            yield from subject(loop, quick=quick)
    yield from imports.figures(quick=quick)
    if os.name == "posix":
        yield from command.figures(quick=quick)


def is_wanted(loop: str, title: str, words: list[str]) -> bool:
    name = f"{loop} {title}".lower()
    return all(word.lower() in name for word in words)


def measure_all(chosen: list[Figure]) -> list[Result]:
    results: list[Result] = []
    for figure in chosen:
        progress(f"{figure.loop}: {figure.title}")
        results += measure(figure)
    progress("")
    return results


def show(results: list[Result]) -> None:
    for loop in dict.fromkeys(result.loop for result in results):
        print(report.heading(loop))
        for result in results:
            if result.loop == loop:
                print(report.as_text(result))
    print(report.summary(results), flush=True)


def measure_curve(curve: Curve) -> list[tuple[int, Result]]:
    points: list[tuple[int, Result]] = []
    for at, figure in curve.figures.items():
        progress(f"{curve.loop}: {curve.title}, {at:,}")
        (result,) = measure(figure)
        points.append((at, result))
    progress("")
    print(f"{curve.loop}: {curve.title}")
    print(report.curve_as_text(points), flush=True)
    return points


def draw_pictures(
    directory: Path,
    results: list[Result],
    lines: list[tuple[Curve, list[tuple[int, Result]]]],
) -> None:
    from parts import pictures  # which needs matplotlib

    pictures.draw(directory, results, lines)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="only see whether it runs (< 30 s)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="found in loop or title"
    )
    parser.add_argument(
        "--curves", action="store_true", help="also measure at growing sizes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write data")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw SVG")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="measure nothing"
    )
    return parser


def main() -> int:
    parser = make_parser()
    options = parser.parse_args()
    if options.source is not None:
        if options.pictures is None:
            parser.error("--from FILE: give --pictures DIR as well")
        data = json.loads(options.source.read_text("utf-8"))
        draw_pictures(options.pictures, *report.from_data(data))
        return 0

    load_peers()
    began = time.monotonic()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    chosen = [
        figure
        for figure in figures(quick=options.quick)
        if is_wanted(figure.loop, figure.title, options.only)
    ]
    chosen_curves = [
        curve
        for curve in (curves(quick=options.quick) if options.curves else ())
        if is_wanted(curve.loop, curve.title, options.only)
    ]
    if not chosen and not chosen_curves:
        parser.error(f"--only {' '.join(options.only)}: no figure has these words")
    results = measure_all(chosen)
    if results:
        show(results)
    lines = [(curve, measure_curve(curve)) for curve in chosen_curves]
    if options.json is not None:
        data = report.as_data(results, lines)
        options.json.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    if options.pictures is not None:
        draw_pictures(options.pictures, results, lines)
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
