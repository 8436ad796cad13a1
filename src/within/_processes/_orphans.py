"""Reaps the members of a stopped tree that were left to us (P14).

Where we are PID 1 or a subreaper, processes whose parent has died become children of
ours. When they die, they stay zombies until we reap them. Only members of our own
trees are reaped here; the children of other code are not ours to touch.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ._tree import is_our_zombie, started_at


class Orphans:
    """The processes of one tree that may be left to us."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}  # pid -> when it was started

    def note(self, pid: int) -> None:
        """Note a member of the tree outside its group, which is about to be killed."""
        self._seen.setdefault(pid, started_at(pid))

    def reap(self, pgid: int) -> None:
        """Reap the dead ones. The leader of ``pgid`` (0: no group) has been reaped.

        A number belongs to a group as long as the group has a member, even a dead one.
        So either one of ours is left, or the number was given back microseconds ago, and
        the kernel gives out all other pids before it comes to this one again (P5).
        """
        with suppress(ChildProcessError):
            while pgid and os.waitpid(-pgid, os.WNOHANG)[0]:
                pass
        for pid, start in self._seen.items():
            if is_our_zombie(pid) and started_at(pid) == start:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
