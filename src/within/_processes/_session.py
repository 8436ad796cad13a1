"""The session of a child with a terminal of its own, and groups whose leader is lost.

A shell with job control puts each of its jobs into a group of its own, so the child's
group is not all that the terminal goes away from (P21). Only the session tells.
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

from ._census import census, sessions
from ._tree import group_of, session_of, signal_member

if TYPE_CHECKING:
    from collections.abc import Collection

# PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9 and newer.
_TO_GROUP = 4


class Session:
    """The processes of the session that a child leads; none if it leads none of ours.

    The leader is not reaped, so its number is that of its session and no other (P5).
    """

    def __init__(self, *, exists: bool) -> None:
        self._exists = exists

    def watch(self, leader: int, groups: Collection[int]) -> None:
        """Start to watch it, and the groups of the child, which was just started."""
        for group in groups:
            if not census.is_watching(group):
                census.watch(group)
        if self._exists and not sessions.is_watching(leader):
            sessions.watch(leader)

    def forget(self, leader: int, groups: Collection[int]) -> None:
        """The leader is about to be reaped."""
        for group in groups:
            census.forget(group)
        sessions.forget(leader)

    def members(self, leader: int) -> list[int]:
        """Its living members, without the leader."""
        return sessions.members(leader) if self._exists else []

    def signal(self, leader: int, number: int, told: Collection[int]) -> None:
        """Send a signal to all of them but those whose groups are ``told`` already."""
        for pid in self.members(leader):
            if group_of(pid) not in told:
                signal_member(pid, leader, number, session_of)


def signal_lost_group(leader: int, pidfd: int, number: int) -> None:
    """Send a signal to a group whose leader was reaped by somebody else.

    Its pid may be any process's by now. The pidfd still knows the group; where there is
    no pidfd, or the kernel is older than that, the members are held one by one.
    """
    try:
        signals.pidfd_send_signal(pidfd, number, None, _TO_GROUP)
    except (OSError, AttributeError):
        for pid in census.members(leader):
            signal_member(pid, leader, number)
