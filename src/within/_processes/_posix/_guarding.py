"""The guard process, which waits for the end of a program and ends its trees (P19).

It runs this file in an interpreter of its own, with only a few modules of the package.
"""

from __future__ import annotations

import os
import select
import signal as signals
import time
from contextlib import suppress

from .._descriptors import Descriptors
from ._tree import group_of, listed, mark_family, marks_of, session_of

# What the guard says when it is ready.
RUNS = b"the guard runs"

# How long to look for processes that fork as fast as they are killed, in seconds.
_PATIENCE = 10.0

# How many searches in a row must find nothing.
_QUIET = 2

# How long to look for a child that was about to be started, in seconds. It has its mark
# only from its exec() on, which a slow disk or a preexec_fn may delay.
_UNTIL_EXEC = 5.0

# The time between two such searches, in seconds.
_PAUSE = 0.05


class Trees:
    """The trees of the program.

    Each is kept under its mark, with the pid of its leader (0 until that is known), what
    belongs to the tree, and the process groups in it.
    """

    def __init__(self) -> None:
        self._trees: dict[str, tuple[int, str, set[int]]] = {}
        self._rest = b""

    def read(self, data: bytes) -> None:
        """Read messages of the program; one may arrive in pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            what, mark, *more = line.decode().split()
            if what == "-":
                self._trees.pop(mark, None)
            elif more:
                leader, tree, *groups = more
                self._trees[mark] = (int(leader), tree, set(map(int, groups)))
            else:
                self._trees[mark] = (0, "all", set())  # its leader may exist by now

    def end(self) -> None:
        """Kill them all."""
        began = time.monotonic()
        is_starting = any(not leader for leader, _, _ in self._trees.values())
        quiet = 0
        self._mark_again()
        while self._trees and time.monotonic() < began + _PATIENCE:
            killed = [pid for pid in listed() if pid != os.getpid() and self._kill(pid)]
            quiet = 0 if killed else quiet + 1
            if quiet >= _QUIET:
                if not is_starting or time.monotonic() > began + _UNTIL_EXEC:
                    break
                time.sleep(_PAUSE)

    def _mark_again(self) -> None:
        """Mark what has missed the mark, while its parent is alive to find it by."""
        for pid in listed():
            for mark in marks_of(pid, self._trees):
                mark_family(pid, mark)

    def _kill(self, pid: int) -> bool:
        with Descriptors() as held:
            try:
                pidfd = held.open(os.pidfd_open, pid)
            except OSError:  # it is gone, or this is the number of a thread
                return False
            if not self._is_member(pid):
                return False
            with suppress(OSError):  # set-uid, and not ours to kill
                signals.pidfd_send_signal(pidfd, signals.SIGKILL)
                return True
            return False

    def _is_member(self, pid: int) -> bool:
        for mark in marks_of(pid, self._trees):
            leader, tree, groups = self._trees[mark]
            if tree == "all" or pid == leader:
                return True
            if tree == "group" and group_of(pid) in groups:
                return True
            if tree == "session" and session_of(pid) == leader:
                return True
        return False


def main(program: int) -> None:
    """Wait until ``program`` ends; descriptor 0 is the socket to it."""
    for number in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP, signals.SIGQUIT):
        signals.signal(number, signals.SIG_IGN)
    trees = Trees()
    os.set_blocking(0, False)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    with suppress(OSError):
        # A fork that was not made by Python keeps the socket open.
        poll.register(os.pidfd_open(program), select.POLLIN)
    with suppress(OSError):  # the program has ended already
        os.write(0, RUNS + b"\n")
    while True:
        ready = [fd for fd, _ in poll.poll()]
        try:
            while data := os.read(0, 65536):
                trees.read(data)
        except BlockingIOError:
            if ready != [0]:  # the socket is empty, and the program has ended
                break
        else:  # the socket has ended
            break
    trees.end()
