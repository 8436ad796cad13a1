"""One child: started, signalled, and reaped once its tree is gone."""

from __future__ import annotations

import os
import secrets
import signal as signals
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ._census import census
from ._exit import open_exit
from ._tree import bearers, group_of

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable
    from typing import Self

    from ._command import Command
    from ._stop import Stop

# What to report for a child that somebody else has reaped, as asyncio does.
_UNKNOWN = 255

# PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9 and newer.
_TO_GROUP = 4

# How long to block, at most, where nothing can be awaited. In seconds.
_BLOCKING = 2.0

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage(NamedTuple):
    """What a child has used, as the kernel told when it was reaped.

    ``wall``, ``user`` and ``system`` are seconds; ``max_rss``, the peak of its
    resident memory, is bytes. With the child itself it counts the descendants
    that the child has waited for. (On Linux ``max_rss`` is never below what the
    starting process had resident itself: see getrusage(2) and exec.)
    """

    wall: float
    user: float
    system: float
    max_rss: int


class Child:
    """A running child, and the group or the marked tree that goes with it."""

    def __init__(
        self,
        command: Command,
        plan: Stop,
        *,
        stdin: Any,
        stdout: Any,
        stderr: Any,
    ) -> None:
        options = dict(command.options)
        env = options.pop("env", None)
        self._mark: str | None = None
        if plan.tree == "all":
            # A name and not a value, so that trees in trees keep both marks.
            self._mark = f"WITHIN_TREE_{secrets.token_hex(8)}"
            env = {**(os.environ if env is None else env), self._mark: "1"}
        # setsid() makes a group as well, and setpgid() would fail after it.
        joined: int = options.get("process_group", 0)  # 0 makes a new one
        if plan.tree != "child" and not options.get("start_new_session"):
            options["process_group"] = joined
        self._own_group = plan.tree != "child"
        self._owner = os.getpid()
        self._began = time.monotonic()
        # bufsize=0: nothing of Popen's own buffering is in the way, for the
        # pipes are ours.
        popen = subprocess.Popen(
            command.args,
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            **options,
        )
        # The groups that are ended with the child: the one that it has joined, if any,
        # and one that has its number, because it was made for it or by it (setsid(2)).
        self._groups = (joined, popen.pid) if joined else (popen.pid,)
        if self._own_group:
            for group in self._groups:
                census.watch(group)
        self._popen = popen
        self.args: tuple[str | bytes, ...] = command.args
        self.pid: int = popen.pid
        self.returncode: int | None = None
        self.usage: Usage | None = None
        self.on_signal: Callable[[int], None] | None = None
        self._ended: float | None = None
        self._reaped = False
        self._lost = False  # reaped behind our back
        try:
            self.exit_fd: int = open_exit(self.pid)
        except BaseException:
            self.exit_fd = -1
            self.end_now()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end_now()  # nothing, once it is reaped

    def __repr__(self) -> str:
        return f"child {self.pid} {' '.join(map(str, self.args))!r}"

    def is_ours(self) -> bool:
        """False in a fork of the process that has started it, whose it stays."""
        return os.getpid() == self._owner

    # -- its end -----------------------------------------------------------

    def has_exited(self) -> bool:
        """Whether it has; ``returncode`` is known then, though it is not reaped."""
        if self.returncode is not None:
            return True
        try:
            result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._lose()
            return True
        if result is None:
            return False
        self._ended = time.monotonic()
        exited = result.si_code == os.CLD_EXITED
        self.returncode = result.si_status if exited else -result.si_status
        return True

    def left(self) -> list[int]:
        """Some of its tree that live, itself apart; none if nobody does."""
        members = self._members()
        if not members and self._mark is not None:
            for pid, _ in bearers(self._mark):
                if pid != self.pid:
                    return [pid]
        return members

    def _members(self) -> list[int]:
        groups = self._groups if self._own_group else ()
        found = [pid for group in groups for pid in census.members(group)]
        return [pid for pid in found if pid != self.pid]

    def is_gone(self) -> bool:
        """Whether it and all of its tree are dead."""
        return self.has_exited() and not self.left()

    def reap(self) -> None:
        """Take it off the kernel's books. From here on its number is free (P5)."""
        if self._reaped or not self.is_ours():
            return
        if self._own_group:
            # Who has slipped in unseen goes too.
            self._signal_groups(signals.SIGKILL)
        self._reaped = True
        for group in self._groups:
            census.forget(group)
        if self.exit_fd >= 0:
            os.close(self.exit_fd)
            self.exit_fd = -1
        if self._lost:
            return
        try:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._lose()
        else:
            if pid:  # else the kernel holds it up, and Popen reaps it one day
                self._note(status, used)

    def _note(self, status: int, used: resource.struct_rusage) -> None:
        ended = self._ended or time.monotonic()
        self.returncode = self._popen.returncode = os.waitstatus_to_exitcode(status)
        self.usage = Usage(
            ended - self._began,
            used.ru_utime,
            used.ru_stime,
            used.ru_maxrss * _RSS_UNIT,
        )

    def end_now(self) -> None:
        """Kill and reap without a loop: for who cannot await any more."""
        if self._reaped or not self.is_ours():
            return
        with suppress(OSError):  # of descriptors, to look for marked ones
            self.signal_tree(signals.SIGKILL, report=False)
        # No longer than this: somebody who may not be killed must not hold us.
        until = time.monotonic() + _BLOCKING
        while not self._seems_gone() and time.monotonic() < until:
            time.sleep(0.0005)
        self.reap()

    def _seems_gone(self) -> bool:
        try:
            return self.is_gone()
        except OSError:  # of descriptors, to look for the others
            return self.has_exited()

    # -- signals -----------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal to the child alone; nothing if it has ended."""
        if self._reaped or not self.is_ours() or self.has_exited():
            return
        # Unreaped, the number is its own, whatever happens meanwhile (P5).
        _ignoring_missing(os.kill, self.pid, number)

    def signal_tree(self, number: int, *, report: bool = True) -> None:
        """Send a signal to everybody that :class:`Stop` ends with the child."""
        if self._reaped:
            return
        if report and self.on_signal is not None:
            self.on_signal(number)
        if self._own_group:
            self._signal_groups(number)
        if (
            not self._own_group
            or group_of(self.pid) not in self._groups
            or number == signals.SIGKILL
        ):
            self.signal(number)  # it may have moved to another group
        if self._mark is not None:
            for pid, pidfd in bearers(self._mark):
                # Who is in the group has been told; but SIGKILL does not mind, and
                # one that was born into it since has not.
                told = self._own_group and group_of(pid) in self._groups
                if number == signals.SIGKILL or not told:
                    _ignoring_missing(signals.pidfd_send_signal, pidfd, number)

    def _signal_groups(self, number: int) -> None:
        for group in self._groups:
            if group == self.pid:
                self._signal_own_group(number)
            else:  # its number stays the group's as long as its leader is not reaped
                _ignoring_missing(os.killpg, group, number)

    def _signal_own_group(self, number: int) -> None:
        try:  # whoever else waits may have reaped it since we looked
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._lose()
        if not self._lost:
            _ignoring_missing(os.killpg, self.pid, number)
            return
        # Its number may be anybody's by now. The pidfd still knows the group; where
        # there is none (it was gone before we had one) or the kernel is older than
        # that, the members are held one by one.
        try:
            signals.pidfd_send_signal(self.exit_fd, number, None, _TO_GROUP)
        except OSError:
            for pid in census.members(self.pid):
                self._signal_member(pid, number)

    def _signal_member(self, pid: int, number: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return
        try:
            if group_of(pid) == self.pid:
                _ignoring_missing(signals.pidfd_send_signal, pidfd, number)
        finally:
            os.close(pidfd)

    def _lose(self) -> None:
        """Somebody else has reaped it: SIGCHLD is ignored, or a wait() too many."""
        self._lost = True
        if self.returncode is None:
            self.returncode = self._popen.returncode = _UNKNOWN
            warnings.warn(
                f"{self!r} was reaped by somebody else (is SIGCHLD ignored?): its "
                f"exit status is unknown, {_UNKNOWN} is reported",
                RuntimeWarning,
                stacklevel=3,
            )


def _ignoring_missing(send: Callable[[int, int], None], to: int, number: int) -> None:
    try:
        send(to, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of zombies; a set-uid child does so too,
        # and then there is nothing that we may do.
        pass
