"""What a whole program leaves behind: it is killed, it exits, or it adopts orphans.

Each cell is a program of its own. ``python -m parts.table_programs MODE PEER
COMMAND...`` runs COMMAND as a peer does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent

LIMIT = 0.3  # seconds
TIMES = 5  # how often a limit strikes in a program that adopts orphans

# How long to wait for something to happen, and for the killed to disappear, in seconds.
PATIENCE, SOON = 10.0, 1.0

_PR_SET_CHILD_SUBREAPER = 36


def left_by(
    title: str, number: int, command: list[str], count: Callable[[], int]
) -> str:
    """What is left of ``command`` a second after a signal has ended its program."""
    with _program("wait", title, command) as program:
        until = time.monotonic() + PATIENCE
        while not count() and time.monotonic() < until:
            time.sleep(0.01)
        program.send_signal(number)
        program.wait(PATIENCE)
    until = time.monotonic() + SOON
    while count() and time.monotonic() < until:
        time.sleep(0.01)
    if count():
        return f"{count()} left"
    is_guarded = title.startswith("within") and number == signal.SIGKILL
    return f"nothing left{' (die_with_parent=True)' if is_guarded else ''}"


def adopted_by(title: str, command: list[str]) -> str:
    """Which children a program that adopts orphans has in the end."""
    with _program("adopt", title, command) as program:
        out, _ = program.communicate(timeout=60)
    running, zombies = map(int, out.split())
    if running or zombies:
        return f"of {TIMES} runs, {running} left running, {zombies} as zombies"
    return "nothing left"


def _program(mode: str, title: str, command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "parts.table_programs", mode, title, *command],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def main(mode: str, title: str, command: list[str]) -> None:
    import within

    from . import table_processes

    [peer] = [peer for peer in table_processes.PEERS if peer.title == title]
    if mode == "wait":
        table_processes.STOP = within.Stop(die_with_parent=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        peer.run(command, None)
        return
    libc: Any = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for _ in range(TIMES):
        with suppress(Exception):
            peer.run(command, LIMIT)
    states = _states_of_children()
    zombies = states.count("Z")
    print(len(states) - zombies, zombies)


def _states_of_children() -> list[str]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    texts = [Path(f"/proc/{pid}/stat").read_text() for pid in children]
    return [text.rpartition(")")[2].split()[0] for text in texts]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
