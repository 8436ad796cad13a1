"""The cost of the command `within`, in wall-clock time and from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from time import perf_counter

from .environment import is_installed
from .measuring import OURS, Contender, Figure

EMPTY = "python -c pass"
WITHIN = [sys.executable, "-c", "from within._command_line import run; run()"]


def figures(*, quick: bool) -> list[Figure]:
    rounds = 2 if quick else 31
    limits = {"none": 3.5}
    if is_installed("trio"):
        limits["trio"] = 7.0
    return [_start(backend, most, rounds) for backend, most in limits.items()]


def _start(backend: str, most: float, rounds: int) -> Figure:
    words = ["5", "true"] if backend == "none" else ["--backend", backend, "5", "true"]
    commands = {
        OURS: [*WITHIN, *words],
        EMPTY: [sys.executable, "-c", "pass"],
        "true": ["true"],
    }
    if shutil.which("timeout"):
        commands["timeout 5 true"] = ["timeout", "5", "true"]
    if backend != "none":
        commands[f"python -c 'import {backend}'"] = [
            sys.executable,
            "-c",
            f"import {backend}",
        ]
    return Figure(
        "any loop",
        f"the command: within {' '.join(words)}",
        [Contender(name, partial(_run, command)) for name, command in commands.items()],
        rounds,
        {EMPTY: most},
    )


async def _run(command: list[str]) -> float:
    began = perf_counter()
    subprocess.run(command, check=True)  # noqa: ASYNC221
    return perf_counter() - began
