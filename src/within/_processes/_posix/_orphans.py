"""Reaps the members of a stopped tree that were left to us (P14).

Where we are PID 1 or a subreaper, processes whose parent has died become children of
ours: dead, each is a zombie until we reap it. Only members of our own trees are
reaped here; the children of other code are not ours to touch, even if they are in a
group of ours: ``Popen(process_group=...)`` puts one there, and wants its status.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ._tree import EXEC, bears, has_marked_limits, is_our_zombie, listed, started_at

if TYPE_CHECKING:
    from collections.abc import Generator

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


class Orphans:
    """The processes of one tree that may be left to us, found by its mark.

    A zombie has no environment any more. But it has its limits still, and a member that
    is met alive is remembered. One that has neither is left a zombie, rather than taken
    from somebody else.
    """

    def __init__(self, mark: str, *, may_come: bool) -> None:
        self._mark = mark
        self.may_come = may_come
        self._seen: dict[int, int] = {}  # pid -> when it was started

    def meet(self, pid: int) -> None:
        """A living member of the group."""
        if self.may_come and pid not in self._seen and self._is_ours(pid):
            self.note(pid)

    def _is_ours(self, pid: int) -> bool:
        until = time.monotonic() + EXEC
        while (found := bears(pid, self._mark)) is None and time.monotonic() < until:
            select.select([], [], [], 0.0002)  # it is in execve()
        return bool(found)

    def note(self, pid: int) -> None:
        """Note a member of the tree outside its group, which is about to be killed."""
        self._seen.setdefault(pid, started_at(pid))

    def reap(self) -> None:
        """Reap the dead ones. The leader has been reaped."""
        if self.may_come and _any_dead():
            for pid in listed():
                if is_our_zombie(pid) and has_marked_limits(pid, self._mark):
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


def may_adopt() -> bool:
    """Whether the orphans of our children come to us."""
    return os.getpid() == 1 or _is_subreaper()


@contextmanager
def not_adopting() -> Generator[None, None, None]:
    """A block in which orphans go past us, unless we are PID 1.

    It has to be short, and no signal handler may interrupt it (see ``undisturbed``).
    """
    if not _is_subreaper():
        yield
        return
    _prctl(_PR_SET_CHILD_SUBREAPER, 0)
    try:
        yield
    finally:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _is_subreaper() -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes  # not in every build of Python, and not allowed everywhere

        answer = ctypes.c_int(0)
        _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer))
    except (ImportError, AttributeError, OSError, MemoryError):
        return False
    return bool(answer.value)


def _prctl(option: int, argument: Any) -> None:
    _libc().prctl(option, argument, 0, 0, 0)


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
