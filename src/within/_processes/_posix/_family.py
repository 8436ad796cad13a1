"""The processes that are ended with a child: its groups, and all that carry its mark.

The kernel knows a group, and signals it as a whole. The mark is ours. A child gets one
if its tree is searched for (P7) or watched by the guard (P19), or if its orphans become
children of ours (P14).
"""

from __future__ import annotations

import os
import signal as signals
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._census import census, sessions
from ._guard import guard
from ._helpers import reads_from_the_dead
from ._marks import marked, new_mark
from ._orphans import Orphans, may_adopt
from ._tree import (
    activity,
    can_search,
    group_of,
    ignoring_missing,
    is_exiting,
    mark_family,
    marked_processes,
    session_of,
    signal_member,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._activity import Activity
    from .._plan import Stop

# PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9 and newer.
_TO_GROUP = 4


class Family:
    """The processes that belong to one child, without the child itself.

    Attributes:
        has_group: There is a process group to end, and not only the child.
    """

    def __init__(
        self,
        plan: Stop,
        pids: Sequence[int],
        *,
        joined: int = 0,
        adopts: bool = True,
        has_session: bool = False,
    ) -> None:
        """The child's pid appears in ``pids`` as soon as it exists.

        Args:
            joined: A group for the child to join; 0 for a new one.
            adopts: Reap the orphans of the tree, if they become children of ours.
            has_session: The child leads a session of its own, which ends with it (P21).
                A shell with job control puts each of its jobs into another group.
        """
        self.has_group: bool = plan.tree != "child"
        self._tree = plan.tree
        self._is_guarded = plan.die_with_parent
        self._has_session = has_session and self.has_group
        self._joined = joined
        self._adopts = adopts
        self._pids = pids
        self._groups: tuple[int, ...] = ()  # once there is a pid
        self._mark = ""  # empty if none is needed
        self._is_marked = False  # so is everything that it had forked by then
        self._orphans: Orphans | None = None

    @property
    def _leader(self) -> int:
        return self._pids[0]

    def groups(self) -> tuple[int, ...]:
        """The groups that are ended with the child: the one that it has joined, if any,
        and one that has its number, because it was made for it or by it (setsid(2)).
        """
        if not self._groups and self.has_group and self._pids:
            leader = self._pids[0]
            self._groups = (self._joined, leader) if self._joined else (leader,)
        return self._groups

    # -- the start ---------------------------------------------------------

    def group_to_join(self, *, new_session: bool) -> int:
        """The group that the child is started in: 0 for a new one, -1 for ours."""
        # setsid() makes a group as well, and setpgid() would fail after it.
        return self._joined if self.has_group and not new_session else -1

    def environment(self, env: Mapping[Any, Any] | None) -> Mapping[Any, Any] | None:
        """The child's environment: ``env``, and the mark where it needs one."""
        is_searched = self._tree == "all"
        if is_searched and not can_search():
            warnings.warn(
                'tree="all" finds only the process group here: there is no /proc, or it '
                "shows the processes of another pid namespace",
                RuntimeWarning,
                stacklevel=4,
            )
        adopts = self.has_group and self._adopts and may_adopt()
        if not (is_searched or self._is_guarded or adopts):
            return env
        self._mark = new_mark()
        self._orphans = Orphans(self._mark, may_come=adopts)
        if self._is_guarded:
            guard.expect(self._mark)
        return marked(env, self._mark)

    def started(self) -> None:
        """The child has been started."""
        self.watch()
        if self._mark:
            self.mark()
            self.remember_members()  # it may have exited by now, and left us its children
        if self._is_guarded:
            groups = self.groups() or (self._leader,)
            in_session = self._has_session and self._tree == "group"
            tree = "session" if in_session else self._tree
            guard.started(self._mark, self._leader, tree, groups)

    def mark(self) -> None:
        """Mark the processes that exist by now, unless that was done.

        If the start was interrupted before this, it has to be done while the child is
        alive: what it has forked and not reaped becomes ours when it dies (P14).
        """
        if self._mark and not self._is_marked:
            mark_family(self._leader, self._mark)
            self._is_marked = True

    def mark_again(self) -> None:
        """Mark what has missed the mark: its fork had begun when we marked its parent.

        The child must not have exited: what it has forked is found through it.
        """
        if self._mark:
            with suppress(OSError):  # out of descriptors; the rest of it has the mark
                mark_family(self._leader, self._mark)

    def watch(self) -> None:
        """Watch the groups and the session, from now on."""
        for group in self.groups():
            if not census.is_watching(group):
                census.watch(group)
        if self._has_session and not sessions.is_watching(self._leader):
            sessions.watch(self._leader)

    def forget(self) -> None:
        """Everything has been ended."""
        self.unwatch()
        if self._is_guarded and self._mark:
            guard.forget(self._mark)

    def unwatch(self) -> None:
        """The leader has been reaped."""
        for group in self.groups():
            census.forget(group)
        if self._has_session and self._pids:
            sessions.forget(self._leader)

    # -- members -----------------------------------------------------------

    def members(self) -> list[int]:
        """The living members of its groups and its session."""
        found = [pid for group in self.groups() for pid in census.members(group)]
        found += [pid for pid in self._session() if pid not in found]
        if self._joined:
            found = [pid for pid in found if pid != self._leader]
        if self._orphans is not None:
            for pid in found:
                self._orphans.remember_member(pid)
        return found

    def _session(self) -> list[int]:
        return sessions.members(self._leader) if self._has_session else []

    def remember_members(self) -> None:
        """Note the members while they are alive, if they may become our children."""
        if self._orphans is not None and self._orphans.may_come:
            self.members()

    def left(self) -> list[int]:
        """Some living members; empty if there are none."""
        members = self.members()
        if not members and self._tree == "all" and self._mark:
            for pid, _ in marked_processes(self._mark):
                if pid != self._leader:
                    self._remember(pid)
                    return [pid]
        return members

    def is_dying(self) -> bool:
        """Whether every process that is left is about to exit.

        A process closes its files some microseconds before it is a zombie, so the end of
        the output can be seen before the group is empty.
        """
        with suppress(OSError):  # out of descriptors
            return all(map(is_exiting, self.left()))
        return False

    def activity(self) -> dict[int, Activity]:
        """What each living member of its groups is doing."""
        return {pid: activity(pid) for pid in self.members()}

    def has_reader(self, but: tuple[int, int] | None) -> bool:
        """Whether a member is still reading the output of a program that has ended.

        Members that read ``but`` do not count: it is the input of the child.
        """
        return any(reads_from_the_dead(pid, but) for pid in self.members())

    def reap_orphans(self) -> None:
        """Reap the zombies that became our children. Call this after reaping the child.

        If it was interrupted, call it again.
        """
        if self._orphans is not None:
            with suppress(OSError):  # out of descriptors to look for them
                self._orphans.reap()
            self._orphans = None

    def _remember(self, pid: int) -> None:
        if self._orphans is not None:
            self._orphans.remember(pid)

    # -- signals -----------------------------------------------------------

    def is_child_in_groups(self) -> bool:
        """False if the child has moved to another group, or if there is none."""
        return group_of(self._leader) in self.groups()

    def signal_joined(self, number: int) -> None:
        """Signal the group that was joined, if any."""
        if self._joined:  # its number cannot be reused while its leader is not reaped
            ignoring_missing(os.killpg, self._joined, number)

    def signal_session(self, number: int) -> None:
        """Signal those of the session that are in none of the groups.

        The leader is not reaped, so its number is that of its session and no other (P5).
        """
        for pid in self._session():
            if group_of(pid) not in self.groups():
                signal_member(pid, self._leader, number, session_of)

    def signal_own(self, number: int) -> None:
        """Signal the group with the number of the child, which is not reaped (P5)."""
        ignoring_missing(os.killpg, self._leader, number)

    def signal_without_number(self, number: int, pidfd: int) -> None:
        """Signal the group of a child that other code has reaped.

        Its number may have been reused by now. The pidfd still refers to the group. If
        there is no pidfd, or the kernel is too old for that, the members are signalled
        one by one, each through a pidfd of its own.
        """
        try:
            signals.pidfd_send_signal(pidfd, number, None, _TO_GROUP)
        except (OSError, AttributeError):
            for pid in census.members(self._leader):
                signal_member(pid, self._leader, number)

    def signal_marked(self, number: int) -> None:
        """Signal those that have left the groups."""
        if self._tree != "all" or not self._mark:
            return
        for pid, pidfd in marked_processes(self._mark):
            # The groups have been signalled already. A second SIGKILL does no harm, and
            # reaches a process that was forked since.
            self._remember(pid)
            if number == signals.SIGKILL or group_of(pid) not in self.groups():
                ignoring_missing(signals.pidfd_send_signal, pidfd, number)
