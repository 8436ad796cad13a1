"""One child: started, signalled, and reaped once its tree is gone."""

from __future__ import annotations

import atexit
import os
import select
import signal as signals
import sys
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .._results import Usage
from ._census import census
from ._descriptors import Descriptors, keep, undisturbed
from ._exit import open_exit
from ._files import Closable, Files
from ._fork import start_program
from ._guard import guard
from ._lost import forget, keep_for_later, look_after, look_after_all, record
from ._marks import marked, new_mark
from ._orphans import Orphans
from ._tree import (
    bearers,
    can_search,
    group_of,
    ignoring_missing,
    mark_family,
    may_signal,
    processor_time,
    signal_member,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ._command import Command
    from ._plan import Stop

_UNKNOWN = 255  # the status of a child that somebody else has reaped, as in asyncio

# PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9 and newer.
_TO_GROUP = 4

_BLOCKING = 2.0  # the longest that we block where nothing can be awaited, in seconds

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Child:
    """A child, and the group or the marked tree that goes with it.

    It is made first and started afterwards, so that everything that a start opens
    belongs to it at once, and is released with it whatever interrupts us (P14).
    """

    def __init__(self, command: Command, plan: Stop) -> None:
        self.args: tuple[str | bytes, ...] = command.args
        self.returncode: int | None = None
        self.exit_fd = -1
        self.held = Descriptors()
        # Our ends of its pipes. They refer to us: with a strong reference back, a child
        # that is dropped would run on until the garbage collector comes by.
        self.ends: WeakSet[Closable] = WeakSet()
        self.on_signal: Callable[[int], None] | None = None
        self.is_deaf = False  # on Windows: no signal but a kill can reach it
        self._command = command
        self._owner = os.getpid()
        self._own_group = plan.tree != "child"
        self._joined: int = command.options.get("process_group", 0)
        mark = new_mark()
        self._mark = mark if plan.tree == "all" else None  # for our search
        self._guarded = mark if plan.die_with_parent else None  # for the guard
        self._tree = plan.tree
        self._orphans = Orphans(mark)
        self._pids: list[int] = []  # its own, from the moment of the fork
        self._waited: list[tuple[int, int, Any]] = []  # wait4() was called
        self._record = record(self, self._pids, self._waited)
        self._began = time.monotonic()
        self._ended: float | None = None
        self._lost = False  # reaped by somebody else
        self._released = False
        _open.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end_now()  # does nothing after an orderly end

    def __repr__(self) -> str:
        return f"child {self.pid} {' '.join(map(str, self.args))!r}"

    def __del__(self) -> None:
        if hasattr(self, "_released"):  # else it was interrupted while it was made
            self.drop()

    def start(self, stdin: Any, stdout: Any, stderr: Any) -> Files:
        """Start it, and return its files. It can be called once."""
        self._began = time.monotonic()
        look_after()
        if self._mark is not None and not can_search():
            warnings.warn(
                'tree="all" finds only the process group here: there is no /proc, or it '
                "shows the processes of another pid namespace",
                RuntimeWarning,
                stacklevel=2,
            )
        command = self._command
        env = command.options.get("env")
        mark = self._mark or self._guarded
        if self._own_group and self._orphans.may_come():
            mark = self._orphans.mark
        if mark is not None:
            env = marked(env, mark)
        # setsid() makes a group as well, and setpgid() would fail after it.
        new_session = command.options.get("start_new_session")
        group = self._joined if self._own_group and not new_session else -1
        files = Files(self.held, stdin, stdout, stderr, command.pipe_size)
        try:
            if self._guarded is not None:
                guard.expect(self._guarded)
            start_program(self._pids, command, files.for_child, env, group)
            if self._own_group:
                for watched in self._groups():
                    census.watch(watched)
            if mark is not None:
                mark_family(self.pid, mark)
            if self._guarded is not None:
                guard.started(self._guarded, self.pid, self._tree, self._groups())
            self.exit_fd = open_exit(self.pid, self.held)
        except BaseException:
            files.failed()
            self.end_now()
            raise
        files.started()
        return files

    @property
    def pid(self) -> int:
        """Its pid; 0 before the start."""
        return self._pids[0] if self._pids else 0

    def is_ours(self) -> bool:
        """False in a fork: the child belongs to the process that started it."""
        return os.getpid() == self._owner

    # -- its end -----------------------------------------------------------

    def has_exited(self) -> bool:
        """Whether it has exited; ``returncode`` is known then, though not reaped."""
        if self.returncode is not None:
            return True
        if not self.is_ours():  # its exit can be seen from a fork, its status cannot
            poll = select.poll()  # select() takes no descriptor above 1023
            poll.register(self.exit_fd, select.POLLIN)
            return bool(poll.poll(0))
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
        """Some living members of its tree, without the child; empty if there are none."""
        members = self._members()
        if not members and self._mark is not None:
            for pid, _ in bearers(self._mark):
                if pid != self.pid:
                    self._orphans.note(pid)
                    return [pid]
        return members

    def _groups(self) -> tuple[int, ...]:
        """The groups that are ended with it: the one that it has joined, if any, and one
        that has its number, because it was made for it or by it (setsid(2)).
        """
        return (self._joined, self.pid) if self._joined else (self.pid,)

    def _members(self) -> list[int]:
        groups = self._groups() if self._own_group else ()
        found = [pid for group in groups for pid in census.members(group)]
        found = [pid for pid in found if pid != self.pid]
        for pid in found:
            self._orphans.meet(pid)
        return found

    def work(self) -> dict[int, int]:
        """The processor time of each living member of its group, and of its children."""
        if self._waited or not self._own_group:
            return {}
        return {pid: processor_time(pid) for pid in self._members()}

    def is_gone(self) -> bool:
        """Whether it and all of its tree are dead."""
        return self.has_exited() and not self.left()

    @property
    def usage(self) -> Usage | None:
        """What it has used; ``None`` until it is reaped."""
        if not self._waited or not self._waited[0][0]:
            return None
        used = self._waited[0][2]
        ended = self._ended or time.monotonic()
        return Usage(
            ended - self._began,
            used.ru_utime,
            used.ru_stime,
            used.ru_maxrss * _RSS_UNIT,
        )

    def reap(self) -> None:
        """Reap it. From here on its pid may go to another process (P5)."""
        if self._waited or not self._pids or not self.is_ours():
            return
        if self._own_group:
            self._signal_groups(signals.SIGKILL)  # a member that we have not seen
        if not self._lost:
            try:
                # Kept in one step: a pid that we have given back but still believe
                # to be ours could be signalled again.
                _, status, _ = keep(self._waited, os.wait4, self.pid, os.WNOHANG)
            except ChildProcessError:
                self._lose()
            else:
                if self._waited[0][0]:
                    self.returncode = os.waitstatus_to_exitcode(status)
                    self._ended = self._ended or time.monotonic()
                    self._orphans.reap()
                else:  # the kernel is holding it up, or we may not kill it
                    keep_for_later(self.pid)
        if not self._waited:
            self._waited.append((0, 0, None))
        for group in self._groups():
            census.forget(group)
        exit_fd, self.exit_fd = self.exit_fd, -1
        self.held.close(exit_fd)

    def end_now(self) -> None:
        """Kill and reap it, without a loop, and release everything that it has.

        After :meth:`reap` there is nothing left to kill. This is also used where nothing
        can be awaited.
        """
        if self._released or not self.is_ours():
            return
        if self._waited or not self._pids:  # nothing to kill, as after most ends
            self._end_now()
        else:
            undisturbed(self._end_now)

    def drop(self) -> None:
        """Called when nothing refers to it any more, or when the interpreter exits."""
        if self._released or not self.is_ours():
            return
        was_running = bool(self._pids) and not self._waited
        self.end_now()  # first: the warning may be an error
        if was_running:
            warnings.warn(
                f"{self!r} was dropped while open: leave its block, or await aclose()",
                ResourceWarning,
                stacklevel=2,
            )

    def _end_now(self) -> None:
        for end in self.ends:  # first: it takes descriptors to find all of a tree
            end.close()
        self.held.close_except(self.exit_fd)  # of ends that are gone already
        if self._pids and not self._waited:
            if self._own_group and not census.is_watching(self.pid):
                census.watch(self.pid)  # its start was interrupted before that
            with suppress(OSError):  # out of descriptors to look for marked ones
                self.signal_tree(signals.SIGKILL, report=False)
            # Not forever: a process that we may not kill must not block us.
            until = time.monotonic() + _BLOCKING
            while not (self._seems_gone() or self.is_refused()):
                if time.monotonic() > until:
                    break
                select.select([], [], [], 0.0005)
            self.reap()
        for group in self._groups():
            census.forget(group)
        self.held.close_all()
        self._released = True
        forget(self._record)
        _open.discard(self)
        if self._guarded is not None:
            guard.forget(self._guarded)

    def is_refused(self) -> bool:
        """Whether it lives, or some of its tree do, and none of them may be signalled."""
        if not self.has_exited():
            return not may_signal(self.pid)
        left = self.left()
        return bool(left) and not any(map(may_signal, left))

    def _seems_gone(self) -> bool:
        try:
            return self.is_gone()
        except OSError:  # out of descriptors to look for the others
            return self.has_exited()

    # -- signals -----------------------------------------------------------

    def signal(self, number: int, *, report: bool = False) -> None:
        """Send a signal to the child alone. Does nothing if it has ended."""
        if self._waited or not self.is_ours() or self.has_exited():
            return
        if report and self.on_signal is not None:
            self.on_signal(number)
        # Unreaped, the pid is its own, whatever happens meanwhile (P5).
        ignoring_missing(os.kill, self.pid, number)

    def signal_tree(self, number: int, *, report: bool = True) -> None:
        """Send a signal to everything that :class:`Stop` ends with the child."""
        if self._waited or not self.is_ours():
            return
        if report and self.on_signal is not None:
            self.on_signal(number)
        if self._own_group:
            self._signal_groups(number)
        if (
            not self._own_group
            or group_of(self.pid) not in self._groups()
            or number == signals.SIGKILL
        ):
            self.signal(number)  # it may have moved to another group
        if self._mark is not None:
            for pid, pidfd in bearers(self._mark):
                # The group has had it already. A second SIGKILL does no harm, and
                # reaches one that was born into the group since.
                self._orphans.note(pid)
                told = self._own_group and group_of(pid) in self._groups()
                if number == signals.SIGKILL or not told:
                    ignoring_missing(signals.pidfd_send_signal, pidfd, number)

    def _signal_groups(self, number: int) -> None:
        for group in self._groups():
            if group == self.pid:
                self._signal_own_group(number)
            else:  # its number stays the group's as long as its leader is not reaped
                ignoring_missing(os.killpg, group, number)

    def _signal_own_group(self, number: int) -> None:
        try:  # another wait() may have reaped it since we looked
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._lose()
        if not self._lost:
            ignoring_missing(os.killpg, self.pid, number)
            return
        # Its pid may be any process's by now. The pidfd still knows the group; where
        # there is no pidfd, or the kernel is older than that, the members are held
        # one by one.
        try:
            signals.pidfd_send_signal(self.exit_fd, number, None, _TO_GROUP)
        except (OSError, AttributeError):
            for pid in census.members(self.pid):
                signal_member(pid, self.pid, number)

    def _lose(self) -> None:
        """Another wait() has reaped it, or SIGCHLD is ignored."""
        self._lost = True
        if self.returncode is None:
            self.returncode = _UNKNOWN
            warnings.warn(
                f"{self!r} was reaped by somebody else (is SIGCHLD ignored?): its "
                f"exit status is unknown, {_UNKNOWN} is reported",
                RuntimeWarning,
                stacklevel=3,
            )


# Those that are not released, for an end of the interpreter that finds them open.
_open: WeakSet[Child] = WeakSet()


@atexit.register
def _drop_all() -> None:
    try:
        for child in tuple(_open):
            child.drop()
    finally:
        look_after_all()
