"""Reaps the members of a stopped tree that were left to us (P14).

Where we are PID 1 or a subreaper, processes whose parent has died become children of
ours: dead, each is a zombie until we reap it. Only members of our own trees are
reaped here; the children of other code are not ours to touch, even if they are in a
group of ours: ``Popen(process_group=...)`` puts one there, and wants its status.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from ._tree import bears, has_marked_limits, is_our_zombie, listed, started_at

_PR_GET_CHILD_SUBREAPER = 37


class Orphans:
    """The processes of one tree that may be left to us, found by its mark.

    A zombie has no environment any more. But it has its limits still, and a member that
    is met alive is remembered. One that has neither is left a zombie, rather than taken
    from somebody else.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._may_come = False
        self._seen: dict[int, int] = {}  # pid -> when it was started

    def may_come(self) -> bool:
        """Whether orphans come to us, so that the tree has to be started with the mark."""
        self._may_come = _may_adopt()
        return self._may_come

    def meet(self, pid: int) -> None:
        """A living member of the group."""
        if self._may_come and pid not in self._seen and bears(pid, self.mark):
            self.note(pid)

    def note(self, pid: int) -> None:
        """Note a member of the tree outside its group, which is about to be killed."""
        self._seen.setdefault(pid, started_at(pid))

    def reap(self) -> None:
        """Reap the dead ones. The leader has been reaped."""
        if self._may_come and _any_dead():
            for pid in listed():
                if is_our_zombie(pid) and has_marked_limits(pid, self.mark):
                    _reap(pid)
        for pid, start in self._seen.items():
            if is_our_zombie(pid) and started_at(pid) == start:
                _reap(pid)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _any_dead() -> bool:
    """Whether any child of ours is a zombie: one system call in place of a listing."""
    with suppress(ChildProcessError):
        return bool(os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    return False


def _may_adopt() -> bool:
    """Whether the orphans of our children come to us."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    try:
        import ctypes  # not in every build of Python, and not allowed everywhere

        answer = ctypes.c_int(0)
        _libc().prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    except (ImportError, AttributeError, OSError, MemoryError):
        return False
    return bool(answer.value)


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
