"""The cost of an import, timed inside a fresh process."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

from .environment import is_installed
from .measuring import OURS, Contender, Figure

# Without `site`, whose own imports would make some modules look free.
FLAGS = ("-S", "-E", "-I")
SCRIPT = """
import sys
from time import perf_counter
sys.path[:0] = {paths!r}
began = perf_counter()
{statement}
print(perf_counter() - began)
"""
PEERS = ("asyncio", "async_timeout", "quattro", "anyio", "trio", "uvloop", "shellous")


# What concerns processes is imported when it is first used.
ALL_OF_OURS = f"from {OURS} import run"


def figures(*, quick: bool) -> list[Figure]:
    modules = [OURS, *filter(is_installed, PEERS)]
    statements = {module: f"import {module}" for module in modules}
    statements[ALL_OF_OURS] = ALL_OF_OURS
    return [
        Figure(
            "any loop",
            "import, in a fresh process",
            [Contender(name, partial(_time, it)) for name, it in statements.items()],
            2 if quick else 11,
            {"asyncio": 0.6},
        )
    ]


async def _time(statement: str) -> float:
    # An editable install of within is in a directory of its own.
    found = {Path(str(importlib.import_module(m).__file__)) for m in (OURS, "anyio")}
    script = SCRIPT.format(
        statement=statement, paths=sorted(str(file.parent.parent) for file in found)
    )
    command = [sys.executable, *FLAGS, "-c", script]
    return float(subprocess.check_output(command))  # noqa: ASYNC221
