"""Running the command `within` as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

WITHIN = [sys.executable, "-m", "within"]
FOREVER = "600"

# For tests of what is the same code on every loop: the ordinary run takes none.
BACKENDS = [
    "none",
    pytest.param("asyncio", marks=pytest.mark.exhaustive),
    pytest.param("uvloop", marks=pytest.mark.exhaustive),
    pytest.param("trio", marks=pytest.mark.exhaustive),
]
ALL_BACKENDS = ["none", "asyncio", "uvloop", "trio"]


def within(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end, and return its status and output."""
    options = {"stdin": subprocess.DEVNULL, "timeout": 60, **options}
    return subprocess.run(
        [*WITHIN, *words], text=True, capture_output=True, check=False, **options
    )


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start it, with pipes for its output."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*WITHIN, *words], **pipes | options)


def times_out_when_ready(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it, and have its time be up once the command has written a line."""
    with start(*words) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        child.send_signal(signal.SIGALRM)
        rest, said = child.communicate(timeout=60)
    return subprocess.CompletedProcess(words, child.returncode, line + rest, said)
