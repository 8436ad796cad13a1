"""Programs in the foreground of a terminal, whose children ask there."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

START = """
import asyncio, os, signal, subprocess, sys, threading, within, within.testing
from within import Stop, process, run
from within._processes._posix import _child
ASK = "printf '%s: ' $0 >/dev/tty; read -r x </dev/tty; echo got $x"
async def main():
"""
END = """
try:
    within.testing.run(main, backend=sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
print("the end")
"""


def program(body: str) -> Callable[[str], list[str]]:
    """The command that runs ``body`` in the loop that it is called with."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return lambda backend: [sys.executable, "-c", START + lines + END, backend]


def in_a_thread(before: str = "", start: str = "None") -> Callable[[str], list[str]]:
    """A program in which a child of a loop in another thread asks.

    Args:
        before: What comes first.
        start: What the thread starts children with, if it is not what we use.
    """
    return program(f"""
{before.strip()}
def work():
    async def ask():
        print((await run("sh", "-c", ASK, "Password", text=True)).stdout)
    _child.start_program = {start} or _child.start_program
    within.testing.run(ask, backend=sys.argv[1])
await run("true")  # in the main thread, where handlers can be set
thread = threading.Thread(target=work)
thread.start()
while thread.is_alive():
    thread.join(0.01)
""")


everywhere = pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
# Where the loop has no part in it, one loop of each kind is enough for the ordinary run.
each_kind = pytest.mark.parametrize(
    "backend", ["asyncio", pytest.param("uvloop", marks=pytest.mark.exhaustive), "trio"]
)
