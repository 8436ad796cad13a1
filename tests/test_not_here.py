"""The list of modules that Windows cannot run is complete."""

from __future__ import annotations

import re
from pathlib import Path

from windows.not_here import NOT_HERE

TESTS = Path(__file__).parent

# Parts of POSIX, and the fixture that counts descriptors and children with them.
POSIX_ONLY = re.compile(
    r"\bnothing_is_left\b|\b_posix\b|\bneeds_members\b"
    r"|^import (fcntl|pty|resource|termios)\b",
    re.MULTILINE,
)


def test_each_module_in_the_list_exists() -> None:
    assert [name for name in NOT_HERE if not (TESTS / name).exists()] == []


def test_each_module_that_needs_posix_is_in_the_list() -> None:
    needs_it = {
        path.name
        for path in TESTS.glob("test_*.py")
        if POSIX_ONLY.search(path.read_text(encoding="utf-8"))
    }
    assert sorted(needs_it - NOT_HERE.keys() - {Path(__file__).name}) == []
