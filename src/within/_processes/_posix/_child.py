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

from ..._results import Usage
from .._child import BLOCKING, BaseChild
from .._descriptors import Descriptors, keep, undisturbed
from ._exit import end_waiting, open_exit
from ._family import Family
from ._files import Files
from ._foreground import foreground
from ._fork import start_program
from ._helpers import identity_of_input
from ._lost import end_lost, end_lost_at_exit, forget, keep_for_later, record
from ._state import State
from ._tree import ignoring_missing, may_signal

if TYPE_CHECKING:
    from .._activity import Activity
    from .._command import Command
    from .._options import File
    from .._plan import Stop
    from ._terminal import Terminal

_UNKNOWN = 255  # the status of a child that other code has reaped, as in asyncio

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Child(BaseChild):
    """A child, and the family that is ended with it.

    It is created first and started afterwards, so that everything that a start opens
    belongs to it at once, and is released with it whatever interrupts us (P14).

    Attributes:
        sent: The signals that we have sent.
        held: All descriptors that are ours because of it.
        family: The processes that are ended with it.
        stdin: The identity of its input: a process that reads it is not a helper.

    Only the command line uses ``on_signal`` and three options of the command.
    ``process_group`` is a group for the child to join; it is ended with the child. Its
    leader must be a child of ours that is reaped later, or its number could be reused
    while we signal it (P5). Without ``adopts_orphans``, orphans that come to us are not
    reaped. With ``keep_signal_mask``, the child inherits our blocked signals.
    """

    # Declared again: a checker of the installed package infers neither from an assignment.
    returncode: int | None
    exit_fd: int

    def __init__(self, command: Command, plan: Stop) -> None:
        super().__init__(command, plan)
        self.sent: set[int] = set()
        self.held: Descriptors = Descriptors()
        self.stdin: tuple[int, int] | None = None
        self._owner = os.getpid()
        # Both lists are filled by C code in the same step as fork() and wait4(). They
        # alone say whether there is a process, and whether its pid is still its own.
        self._pids: list[int] = []
        self._waited: list[tuple[int, int, Any]] = []  # pid 0 if we did not reap it
        self._is_lost = False
        self._is_released = False
        self.terminal: Terminal | None = None
        options = command.options
        self.family: Family = Family(
            plan,
            self._pids,
            joined=options.get("process_group", 0),
            adopts=options.get("adopts_orphans", True),
            has_session=command.terminal is not None,
        )
        self._record = record(self, self._pids, self._waited)
        _unreleased.add(self)

    @property
    def state(self) -> State:
        """The current state."""
        if self._is_released:
            return State.RELEASED
        if self._waited:
            if self._waited[0][0] or self._is_lost:
                return State.REAPED
            return State.LEFT
        if self._is_lost:
            return State.LOST
        if not self._pids:
            return State.MADE
        return State.RUNNING if self.returncode is None else State.EXITED

    def __del__(self) -> None:
        if hasattr(self, "_record"):  # else it was interrupted while it was made
            self.drop()

    def start(self, stdin: File, stdout: File, stderr: File) -> Files:
        """Start it, and return its files. It can be called once."""
        if self.state is not State.MADE:
            raise RuntimeError(f"{self!r} cannot be started: it is {self.state.value}")
        self._began = time.monotonic()
        end_lost()
        options = self._command.options
        files = Files(self.held, stdin, stdout, stderr, self._command)
        self.terminal = files.terminal
        new_session = bool(options.get("start_new_session") or self.terminal)
        try:
            self.stdin = identity_of_input(files.for_child[0])
            env = self.family.environment(options.get("env"))
            group = self.family.group_to_join(new_session=new_session)
            if group == 0:
                foreground.watch(self)
            start_program(self._pids, self._command, files.for_child, env, group)
            foreground.started(self)
            self.family.started()
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

    def is_open(self) -> bool:
        """Whether it is RUNNING, EXITED or LOST, and this is no fork of its parent."""
        return bool(self._pids) and not self._waited and self.is_ours()

    # -- its end -----------------------------------------------------------

    def has_exited(self) -> bool:
        """Whether it has exited. Then ``returncode`` is known, even before it is reaped.

        (In a fork of its parent, only the exit can be seen.)
        """
        if self.returncode is not None:
            return True
        if not self.is_ours():
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
        if self.terminal is not None:
            self.terminal.child_has_exited()
        return True

    def left(self) -> list[int]:
        """Some living members of its tree, without the child; empty if there are none."""
        return [] if self._waited else self.family.left()

    def activity(self) -> dict[int, Activity]:
        """What each living member of its groups is doing, without the child."""
        return self.family.activity()

    def has_reader(self) -> bool:
        """Whether a process that it left behind is still reading its output (P6)."""
        return self.family.has_reader(but=self.stdin)

    def is_refused(self) -> bool:
        """Whether it or some of its tree is alive, and we may not signal any of that."""
        if not self.has_exited():
            return not may_signal(self.pid)
        left = self.left()
        return bool(left) and not any(map(may_signal, left))

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
        if not self.is_open():
            return
        if not self.is_spared():
            self._signal_groups(signals.SIGKILL)  # a member that we have not seen
        if self.has_exited():
            end_waiting(self.pid)
        if not self._is_lost:
            self._wait()
        if not self._waited:
            self._waited.append((0, 0, None))
        self.family.unwatch()
        exit_fd, self.exit_fd = self.exit_fd, -1
        self.held.close(exit_fd)

    def _wait(self) -> None:
        try:
            # Kept in one step: if we reaped it without noting that, we could signal the
            # next process with its pid.
            pid, status, _ = keep(self._waited, os.wait4, self.pid, os.WNOHANG)
        except ChildProcessError:
            self._lose()
            return
        if not pid:  # the kernel is holding it up, or we may not kill it
            keep_for_later(self.pid)
            return
        end_waiting(self.pid)  # if it has exited since we asked
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended = self._ended or time.monotonic()
        self.family.reap_orphans()

    def end_now(self) -> None:
        """Kill and reap it, without a loop, and release everything that it holds.

        After :meth:`reap` there is nothing left to kill. This is also used where nothing
        can be awaited.
        """
        if self._is_released or not self.is_ours():
            return
        if self.is_open():
            undisturbed(self._end_now)
        else:  # nothing to kill, as after most ends
            self._end_now()

    def _is_tree_ending(self) -> bool:
        return self.family.is_dying()

    def _end_now(self) -> None:
        for end in self.ends:  # first: it takes descriptors to find all of a tree
            end.close()
        self.held.close_except(self.exit_fd)  # those of ends that are gone
        if self.is_open():
            self.family.watch()  # its start may have been interrupted before that
            with suppress(OSError):  # out of descriptors to look for marked ones
                self.family.mark()
                if not self.is_spared():
                    self.signal_tree(signals.SIGKILL, report=False)
            # Not forever: a process that we may not kill must not block us.
            until = time.monotonic() + BLOCKING
            while not (self._seems_done() or self.is_refused()):
                if time.monotonic() > until:
                    break
                select.select([], [], [], 0.0005)
            self.reap()
        self.family.reap_orphans()  # reap() may have been interrupted
        foreground.forget(self)
        self.held.close_all()
        self._is_released = True
        forget(self._record)
        _unreleased.discard(self)
        self.family.forget()

    def _seems_done(self) -> bool:
        try:
            return self.is_done()
        except OSError:  # out of descriptors to look for the others
            return self.has_exited()

    # -- signals -----------------------------------------------------------

    def signal(self, number: int, *, report: bool = False) -> None:
        """Send a signal to the child alone. Does nothing if it has ended."""
        if not self.is_open() or self.has_exited():
            return
        self._note_signal(number, report)
        # As long as it is not reaped, its pid cannot be reused (P5).
        ignoring_missing(os.kill, self.pid, number)

    def signal_tree(self, number: int, *, report: bool = True) -> None:
        """Send a signal to everything that :class:`Stop` ends with the child."""
        if not self.is_open() or (report and self.is_spared()):
            return
        self._note_signal(number, report)
        if not self.has_exited():
            self.family.mark_again()
        self.family.remember_members()
        self._signal_groups(number)
        if number == signals.SIGKILL or not self.family.is_child_in_groups():
            self.signal(number)
        self.family.signal_marked(number)

    def _note_signal(self, number: int, report: bool) -> None:
        if report and self.on_signal is not None:
            self.on_signal(number)
        self.sent.add(number)
        if report or number in (self._plan.signal, signals.SIGKILL):
            self._was_asked_to_end = True

    def _signal_groups(self, number: int) -> None:
        if not self.family.has_group:
            return
        self.family.signal_session(number)
        self.family.signal_joined(number)
        try:  # another wait() may have reaped it since we looked
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._lose()
        if self._is_lost:
            self.family.signal_without_number(number, self.exit_fd)
        else:
            self.family.signal_own(number)

    def _lose(self) -> None:
        """Another wait() has reaped it, or SIGCHLD is ignored."""
        self._is_lost = True
        if self.terminal is not None:
            self.terminal.child_has_exited()
        if self.returncode is None:
            self.returncode = _UNKNOWN
            warnings.warn(
                f"{self!r} was reaped by other code (is SIGCHLD ignored?): its exit "
                f"status is unknown, so {_UNKNOWN} is reported",
                RuntimeWarning,
                stacklevel=3,
            )


# Children that are not released, to be ended when the interpreter exits.
_unreleased: WeakSet[Child] = WeakSet()


@atexit.register
def _drop_all() -> None:
    try:
        for child in tuple(_unreleased):
            child.drop()
    finally:
        end_lost_at_exit()
