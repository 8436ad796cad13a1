"""What within costs, beside its peers and the floors, on each loop.

    python benchmarks/speed.py [--quick] [--only WORD ...] [--curves]
                               [--json FILE] [--pictures DIR]

Prints a table for each loop and which targets are met. Nothing of it is a test: the
exit status is 0 whatever the figures. How it is measured stands in README.md here.
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

import _report
import anatomy
import crowds
import imports
import lateness
import processes
import timeouts
from _measure import LOOPS, Figure, Result, is_installed, load_everybody, measure
from curves import Curve, curves
from tables import progress, versions


class Subject(Protocol):
    def __call__(self, loop: str, *, quick: bool) -> list[Figure]: ...


# Children first: uvloop forks, which takes the longer the more memory we hold.
SUBJECTS: list[Subject] = [
    timeouts.figures,
    anatomy.figures,
    lateness.figures,
    crowds.figures,
]
if os.name == "posix":
    SUBJECTS.insert(0, processes.figures)


def figures(*, quick: bool) -> Iterator[Figure]:
    """Everything, subject by subject."""
    for subject in SUBJECTS:
        for loop in filter(is_installed, LOOPS):
            yield from subject(loop, quick=quick)
    yield from imports.figures(quick=quick)


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
        print(_report.heading(loop))
        for result in results:
            if result.loop == loop:
                print(_report.as_text(result))
    print(_report.summary(results), flush=True)


def draw(curve: Curve) -> list[tuple[int, Result]]:
    points: list[tuple[int, Result]] = []
    for at, figure in curve.figures.items():
        progress(f"{curve.loop}: {curve.title}, {at:,}")
        (result,) = measure(figure)
        points.append((at, result))
    progress("")
    print(f"{curve.loop}: {curve.title}")
    print(_report.curve_as_text(points), flush=True)
    return points


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="does it run? (< 30 s)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="in loop or title"
    )
    parser.add_argument("--curves", action="store_true", help="cost over scale, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there too")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="SVG, into it")
    options = parser.parse_args()

    load_everybody()
    began = time.monotonic()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    chosen = [
        figure
        for figure in figures(quick=options.quick)
        if is_wanted(figure.loop, figure.title, options.only)
    ]
    drawn = [
        curve
        for curve in (curves(quick=options.quick) if options.curves else ())
        if is_wanted(curve.loop, curve.title, options.only)
    ]
    if not chosen and not drawn:
        parser.error(f"nothing is called {' '.join(options.only)!r}")
    results = measure_all(chosen)
    if results:
        show(results)
    lines = [(curve, draw(curve)) for curve in drawn]
    if options.json is not None:
        data = _report.as_data(results, lines)
        options.json.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    if options.pictures is not None:
        import _pictures

        _pictures.draw(options.pictures, results, lines)
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
