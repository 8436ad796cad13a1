"""Lost children: we were interrupted so often that nothing is left to end them.

A signal handler may raise while a child is being ended, and again in the finalizer
that makes up for it (P14). So the pid of each child is also recorded here. If the child
object is gone without having ended the child, we do it here: at the next start, or when
the interpreter exits.
"""

from __future__ import annotations

import os
import select
import signal as signals
import time
from contextlib import suppress
from typing import Any
from weakref import ref

from ._exit import end_waiting

# Two lists for each child: its pid from the fork on, its status once it is reaped.
_records: dict[ref[Any], tuple[list[int], list[Any]]] = {}

# References to child objects that were collected before forget(). A method written in C
# fills the list, so no handler runs between its call and its return.
_lost: list[ref[Any]] = []

# Children that have to be reaped later: they were killed, or could not be killed.
_kept: list[int] = []

# How long the exit of the interpreter waits for those that were killed, in seconds.
_PATIENCE = 2.0


def record(child: object, pids: list[int], waited: list[Any]) -> ref[Any]:
    """Record a child that is about to be started."""
    key = ref(child, _lost.append)
    _records[key] = (pids, waited)
    return key


def forget(key: ref[Any]) -> None:
    """The child has been ended, so its record is not needed any more."""
    _records.pop(key, None)


def keep_for_later(pid: int) -> None:
    """A child of ours could not be reaped now: do it later."""
    _kept.append(pid)


def end_lost() -> None:
    """End the children that were lost, and reap those that have ended by now."""
    while _lost:
        key = _lost[0]
        pids, waited = _records.get(key, ([], []))
        if pids and not waited:
            _kill(pids[0])
            keep_for_later(pids[0])
        forget(key)
        _lost.remove(key)
    for pid in tuple(_kept):
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            end_waiting(pid)
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # another wait() has reaped it
            end_waiting(pid)
        if pid in _kept:
            _kept.remove(pid)


def end_lost_at_exit() -> None:
    """The same when the interpreter exits: with some time for those that were killed."""
    until = time.monotonic() + _PATIENCE
    end_lost()
    while _kept and time.monotonic() < until:
        select.select([], [], [], 0.001)
        end_lost()


def _kill(pid: int) -> None:
    try:  # unreaped, the pid is still its own (P5)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    with suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signals.SIGKILL)
    with suppress(OSError):
        os.kill(pid, signals.SIGKILL)


def _forget_all() -> None:
    _records.clear()
    _lost.clear()
    _kept.clear()


if hasattr(os, "register_at_fork"):  # they are not children of a fork
    os.register_at_fork(after_in_child=_forget_all)
