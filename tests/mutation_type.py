"""What a mutation is, and the files that mutations change."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One edit that a maintainer might make by mistake."""

    name: str
    """The rule, and what goes wrong."""
    file: str
    """The file below src/within."""
    old: str
    """The text to replace. The file has it exactly once."""
    new: str
    """The text that replaces it."""
    only_before: tuple[int, int] = (4, 0)
    """The Python from which on the mutated code is not needed any more."""


BLOCKS = "_core/_open_blocks.py"
ERRORS = "_errors.py"
TIMEOUT = "_timeouts/_timeout.py"
DEADLINE = "_timeouts/_deadline.py"
CHOICE = "_backends/__init__.py"
TRIO = "_backends/_trio.py"
BACKEND = "_backends/_asyncio/_backend.py"
RUNNING = "_backends/_asyncio/_running.py"
ALARM = "_backends/_asyncio/_alarm.py"
PURSUIT = "_backends/_asyncio/_pursuit.py"
STRIKES = "_backends/_asyncio/_strikes.py"
WAITING = "_backends/_asyncio/_waiting.py"
ATTRIBUTION = "_backends/_asyncio/_attribution.py"
GROUPS = "_backends/_asyncio/_groups.py"
ANYIO = "_backends/_asyncio/_anyio.py"
