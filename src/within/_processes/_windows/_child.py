"""One child: started in its job, signalled, and let go once the job is empty."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import atexit
import signal as signals
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..._results import Usage
from .._activity import Activity
from .._child import BLOCKING, BaseChild
from ._files import Files
from ._handles import Handles
from ._kernel import (
    KILL_ON_JOB_CLOSE,
    KILLED,
    SILENT_BREAKAWAY_OK,
    create_job,
    free_job,
    has_ended,
    open_process,
    peak_memory,
    processes_of,
    send_break,
    terminate_job,
    times_of,
    times_of_job,
)
from ._start import start_program
from ._waiting import Exit, waitables

if TYPE_CHECKING:
    from .._command import Command
    from .._options import File
    from .._plan import Stop

# Each of them is sent as CTRL_BREAK_EVENT, the one signal that reaches a single group.
_POLITE = frozenset({signals.SIGTERM, signals.SIGBREAK, signals.CTRL_BREAK_EVENT})

# The numbers of POSIX, which Windows has no names for.
KILL = 9
CONTINUE = 18


class Child(BaseChild):
    """A child, and the job that it and all of its descendants are in.

    The job ends everything in it when its last handle is closed. We have the only one,
    so the tree does not outlive us either, however we end (P19).
    """

    def __init__(self, command: Command, plan: Stop) -> None:
        check_signal(plan.signal)
        super().__init__(command, plan)  # exit_fd is the handle of the process
        self.held = Handles()
        self.terminal: None = None  # there is none to give (P21)
        self._job = 0
        # (process handle, thread handle, process id, thread id), from its start on.
        self._started: list[tuple[int, int, int, int]] = []
        self._used: Usage | None = None
        self._is_reaped = False
        self._is_released = False
        _open.add(self)

    def __del__(self) -> None:
        if hasattr(self, "_is_released"):  # else it was interrupted while it was made
            self.drop()

    def start(self, stdin: File, stdout: File, stderr: File) -> Files:
        """Start it, and return its files. It can be called once."""
        self._began = time.monotonic()
        command = self._command
        # With tree="child" its own children are started outside the job.
        is_alone = self._plan.tree == "child"
        flags = KILL_ON_JOB_CLOSE | (SILENT_BREAKAWAY_OK if is_alone else 0)
        files = Files(self.held, stdin, stdout, stderr, command.pipe_size)
        try:
            self._job = self.held.open(create_job, flags)
            env = command.options.get("env")
            start_program(self._started, command, files.for_child, env, self._job)
            self._keep_process()
            waitables[self.exit_fd] = Exit(self.exit_fd)
        except BaseException:
            files.failed()
            self.end_now()
            raise
        files.started()
        return files

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self._started[0][2] if self._started else 0

    def is_ours(self) -> bool:
        """Always: Windows has no fork."""
        return True

    def is_open(self) -> bool:
        """Whether it has been started, and has not been reaped."""
        return bool(self._started) and not self._is_reaped

    # -- its end -----------------------------------------------------------

    def has_exited(self) -> bool:
        """Whether it has exited; ``returncode`` is known then."""
        if self.returncode is not None:
            return True
        if not self._started or not has_ended(self._started[0][0]):
            return False
        self._ended = time.monotonic()
        self.returncode = _winapi.GetExitCodeProcess(self._started[0][0])
        return True

    def left(self) -> list[int]:
        """The living processes of its job, without the child."""
        if not self._job or self._is_reaped:
            return []
        return [pid for pid in processes_of(self._job) if pid != self.pid]

    def activity(self) -> dict[int, Activity]:
        """The CPU time of each of these. Windows does not report their state."""
        found: dict[int, Activity] = {}
        for pid in self.left():
            with suppress(OSError), Handles() as own:
                user, system = times_of(own.open(open_process, pid))
                found[pid] = Activity(b"", user + system)
        return found

    def has_reader(self) -> bool:
        """Always false: Windows does not report what another process reads (P6)."""
        return False

    @property
    def usage(self) -> Usage | None:
        """What it has used; ``None`` until :meth:`reap`."""
        return self._used

    def reap(self) -> None:
        """Note what it has used, and let it go: its id may go to another process (P5)."""
        if not self.is_open():
            return
        if self.is_spared():
            free_job(self._job)
        else:
            terminate_job(self._job)  # a member that we have not seen
        self.has_exited()
        process = self._started[0][0]
        wall = (self._ended or time.monotonic()) - self._began
        with suppress(OSError):
            own, tree = times_of(process), times_of_job(self._job)
            self._used = Usage(
                wall, max(own[0], tree[0]), max(own[1], tree[1]), peak_memory(process)
            )
        self._is_reaped = True
        waitables.pop(self.exit_fd, None)
        self.held.close(self.exit_fd)
        self.exit_fd = -1
        self.held.close(self._job)

    def end_now(self) -> None:
        """Kill it and its tree, without a loop, and release everything that it holds."""
        if self._is_released:
            return
        for end in self.ends:
            end.close()
        if self.is_open():
            self._keep_process()  # its start may have been interrupted
            if not self.is_spared():
                # By itself as well, because it may not be in the job yet.
                with suppress(OSError):
                    _winapi.TerminateProcess(self.exit_fd, KILLED)
                terminate_job(self._job)
            until = time.monotonic() + BLOCKING
            while not self.is_done() and time.monotonic() < until:
                _winapi.WaitForSingleObject(self.exit_fd, 1)
                if self.has_exited():
                    time.sleep(0.001)
            self.reap()
        self.held.close_all()
        self._is_released = True
        _open.discard(self)

    def _keep_process(self) -> None:
        process = self._started[0][0]
        if process not in self.held:
            self.held.open(int, process)
        self.exit_fd = process

    def is_refused(self) -> bool:
        """Never: we may end every process in our job."""
        return False

    # -- signals -----------------------------------------------------------

    def signal(self, number: int, *, report: bool = False) -> None:
        """Send a signal to the child. Does nothing if it has ended.

        Only a kill reaches the child alone. CTRL_BREAK_EVENT goes to its group.
        """
        check_signal(number)
        if self._is_reaped or self.has_exited() or number == CONTINUE:
            return
        self._note_signal(number, report)
        if number == KILL:
            with suppress(OSError):  # it has ended since we looked
                _winapi.TerminateProcess(self.exit_fd, KILLED)
        else:
            self._send_break()

    def signal_tree(self, number: int, *, report: bool = True) -> None:
        """Send a signal to everything that :class:`Stop` ends with the child."""
        check_signal(number)
        if self._is_reaped or number == CONTINUE or (report and self.is_spared()):
            return
        self._note_signal(number, report)
        if number != KILL:
            self._send_break()
        else:
            terminate_job(self._job)

    def _note_signal(self, number: int, report: bool) -> None:
        if report and self.on_signal is not None:
            self.on_signal(number)
        self._was_asked_to_end = True

    def _send_break(self) -> None:
        # We hold a handle of the process, so its id, which is that of the group, cannot
        # be reused (P5).
        self.is_unreachable = not send_break(self.pid)


def is_running(pid: int) -> bool:
    """Always false: Windows does not report the state of a process."""
    return False


def check_signal(number: int) -> None:
    """Raise ``NotImplementedError`` for a signal that Windows cannot send."""
    if number not in _POLITE and number not in (KILL, CONTINUE):
        raise NotImplementedError(
            f"signal {number} cannot be sent on Windows: a process group there gets "
            "CTRL_BREAK_EVENT (also as SIGTERM or SIGBREAK) or is killed; Ctrl-C cannot "
            "be sent to a single group"
        )


# Children that are not released, to be ended when the interpreter exits.
_open: WeakSet[Child] = WeakSet()


@atexit.register
def _drop_all() -> None:
    for child in tuple(_open):
        child.drop()
