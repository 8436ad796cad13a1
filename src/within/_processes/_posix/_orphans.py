"""Reaps the members of a stopped tree that were left to us (P14).

If we are PID 1 or a subreaper, processes whose parent has died become children of ours.
When they die in turn, they are zombies until we reap them. Only members of our own trees
are reaped here. The children of other code are not ours to reap, even if they are in a
group of ours: ``Popen(process_group=...)`` can put one there, and needs its status.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ._tree import EXEC, has_mark, has_marked_limits, is_our_zombie, listed, started_at

if TYPE_CHECKING:
    from collections.abc import Generator

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


class Orphans:
    """The processes of one tree that may be left to us, found by its mark.

    A zombie no longer has an environment. But it still has its limits, and a member that
    we have seen alive is remembered. A zombie that is neither marked nor remembered is
    not reaped, because it may be a child of other code.
    """

    def __init__(self, mark: str, *, may_come: bool) -> None:
        self._mark = mark
        self.may_come = may_come
        self._seen: dict[int, int] = {}  # pid -> when it was started

    def remember_member(self, pid: int) -> None:
        """Remember a living member of the group."""
        if self.may_come and pid not in self._seen and self._is_ours(pid):
            self.remember(pid)

    def _is_ours(self, pid: int) -> bool:
        until = time.monotonic() + EXEC
        while (found := has_mark(pid, self._mark)) is None and time.monotonic() < until:
            select.select([], [], [], 0.0002)  # it is in execve()
        return bool(found)

    def remember(self, pid: int) -> None:
        """Remember a member whose mark has been seen."""
        self._seen.setdefault(pid, started_at(pid))

    def reap(self) -> None:
        """Reap the zombies. Call this after the leader has been reaped."""
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
    """Whether any of our children is a zombie: one system call instead of a listing."""
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
