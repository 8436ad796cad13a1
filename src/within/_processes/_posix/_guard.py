"""Ends our trees if this program is killed (P19): our side of the guard.

A program that is killed by SIGKILL, by the OOM killer or by a crash cannot end its
children. PR_SET_PDEATHSIG is not enough: it follows the thread that forked, reaches
the child alone, and is lost when a set-uid program is executed. So one small process,
the guard, waits for this program to end. It is started when first needed, serves all
trees of the program, and finds them by their marks, so that it cannot hit a process that
has reused a pid of ours (P5). See ``_guarding`` for what it does.

PID 1 needs no guard: when it ends, the kernel kills everything in its pid namespace.

The guard reads from a socket which trees there are. The socket also tells it when this
program ends, because only this program holds the other side. (A write to a pipe without
a reader would kill a program that has SIGPIPE at its default.) In the other direction,
the guard reports that it runs, or its interpreter reports why it does not. The first
child waits for that: a guard that did not start would be noticed only when it is needed.
"""

from __future__ import annotations

import atexit
import os
import select
import signal as signals
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._command import Command
from .._descriptors import Descriptors, keep, undisturbed
from ._fork import start_program
from ._guarding import RUNS
from ._lost import keep_for_later
from ._orphans import not_adopting
from ._tree import can_search, command_line

if TYPE_CHECKING:
    import socket

# What the guard runs. It needs only a few small modules, and not within/__init__.py.
_CODE = """
import sys, types
package = types.ModuleType("within")
package.__path__ = [sys.argv[1]]
sys.modules["within"] = package
from within._processes._posix._guarding import main
main(int(sys.argv[2]))
"""

# A shell gives /dev/null to what it starts in the background, unless it is redirected.
# This one writes the pid of the guard to the socket. Error messages of the shell and of
# the interpreter go there too.
_IN_BACKGROUND = 'exec 3<&0; "$@" <&3 3<&- & echo $! >&3'

# How long to wait, in seconds, before a guard that does not read, because it is stopped,
# is replaced; and for a new one, which has to load Python first.
_PATIENCE = 0.25
_START = 10.0

# How much of what the interpreter says is shown in an error, in characters.
_SHOWN = 300


class Guard:
    """The guard of this program, once there is one."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a dropped child inside any method.
        self._lock = threading.RLock()
        self._trees: dict[str, str] = {}  # mark -> the last message about it
        self._queued: deque[str] = deque()  # messages that can wait for the next one
        self._process: _GuardProcess | None = None

    def expect(self, mark: str) -> None:
        """A tree with ``mark`` is about to be started, and we may be killed just then.

        Raises:
            NotImplementedError: Where no guard can find or signal a tree.
            RuntimeError: If there is no Python to run the guard, or it does not start.
        """
        if os.getpid() == 1:
            return
        if not can_search() or not hasattr(os, "pidfd_open"):
            raise NotImplementedError(
                "die_with_parent=True needs Linux with pidfds, and a /proc that shows the "
                "pid namespace of this program"
            )
        self._tell(mark, f"+ {mark}")

    def started(self, mark: str, pid: int, tree: str, groups: tuple[int, ...]) -> None:
        """The tree has a leader now, and ``tree`` says what belongs to it."""
        if os.getpid() == 1:
            return
        self._tell(mark, " ".join(map(str, ("=", mark, pid, tree, *groups))))

    def forget(self, mark: str) -> None:
        """The tree has been ended. The guard is told with the next message.

        This never raises and never waits, neither for the guard nor for the lock. A
        guard that does not know it yet does no harm: no process has the mark any more.
        """
        if self._trees.pop(mark, None) is not None:
            self._queued.append(f"- {mark}")

    def flush(self) -> None:
        """Send the messages that could wait, because the program exits."""
        with self._lock:
            if self._process is not None:
                self._process.tell(self._take_queued(), 0)

    def forked(self) -> None:
        """We are a fork. The guard is our parent's, and has to see the parent's end."""
        if self._process is not None:
            self._process.close()
        self.__init__()  # type: ignore[misc]  # another thread may have held the lock

    def _tell(self, mark: str, message: str) -> None:
        with self._lock:
            self._trees[mark] = message
            messages = [*self._take_queued(), message]
            if self._process is None or not self._process.tell(messages, _PATIENCE):
                self._replace()

    def _take_queued(self) -> list[str]:
        return [self._queued.popleft() for _ in range(len(self._queued))]

    def _replace(self) -> None:
        """Start another guard: there is none yet, it was killed, or it is stopped."""
        process = _GuardProcess()
        try:
            process.start()
            # In one step: another thread may forget a tree meanwhile.
            if not process.tell(list(self._trees.values()), _START):
                raise RuntimeError(
                    "die_with_parent=True: the guard process does not read its messages"
                )
            if self._process is not None:
                self._process.dismiss()
            self._process = process
        except BaseException:
            process.dismiss()
            raise


class _GuardProcess:
    """One guard, and our end of the socket that it reads."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._held = Descriptors()
        self._sockets: list[tuple[socket.socket, socket.socket]] = []
        self._pidfd = -1

    def __del__(self) -> None:
        # Its start was interrupted, and nothing refers to it. When the interpreter
        # exits, it is kept: it is needed most if that exit is interrupted.
        if not sys.is_finalizing():
            self.dismiss()

    def tell(self, messages: list[str], patience: float) -> bool:
        """Whether it took all messages; false if it is dead, or does not read."""
        import socket

        until = time.monotonic() + patience
        ours = self._sockets[0][0]
        data = "".join(f"{message}\n" for message in messages).encode()
        while data:
            try:
                sent = ours.send(data, socket.MSG_NOSIGNAL)
                data = data[sent:]
            except BlockingIOError:
                if not _is_ready(ours, select.POLLOUT, until):
                    return False
            except OSError:  # it was killed
                return False
        return True

    def dismiss(self) -> None:
        """Kill it, or it would take the end of the socket for the end of the program."""
        if self._pidfd >= 0 and os.getpid() == self._owner:
            with suppress(OSError):
                signals.pidfd_send_signal(self._pidfd, signals.SIGKILL)
        self.close()

    def close(self) -> None:
        """Close our end, and leave it to itself."""
        self._pidfd = -1
        self._held.close_all()
        for pair in self._sockets:
            for one in pair:
                one.close()

    def start(self) -> None:
        """Start it, and wait until it runs."""
        import socket

        interpreter = _interpreter()
        ours, theirs = keep(self._sockets, socket.socketpair)
        ours.setblocking(False)
        package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        python = [interpreter, "-I", "-S", "-c", _CODE, package, str(os.getpid())]
        null = self._held.open(os.open, os.devnull, os.O_RDWR)
        # The shell ends at once, so that the guard is not a child of ours: a program
        # that waits for all of its children would wait for it. In a session of its own,
        # no Ctrl-C and no signal to our group reaches it.
        command = Command(
            ("/bin/sh", "-c", _IN_BACKGROUND, "sh", *python),
            # All signals are blocked here, and stay blocked in the guard.
            {"cwd": "/", "start_new_session": True, "keep_signal_mask": True},
        )
        files = (theirs.fileno(), null, theirs.fileno())
        undisturbed(lambda: _start_beside_us(command, files))
        theirs.close()
        self._held.close(null)
        said = self._until_it_runs(ours)
        if said is not None:
            raise RuntimeError(
                "die_with_parent=True runs a small guard in a Python interpreter, but "
                f"{interpreter!r} did not run it: {said}. To run it with another one, "
                "call multiprocessing.set_executable()"
            )

    def _until_it_runs(self, ours: socket.socket) -> str | None:
        """Wait until it says that it runs; return ``None``, or what was said instead."""
        until = time.monotonic() + _START
        lines = [b""]
        while RUNS not in lines:
            if not _is_ready(ours, select.POLLIN, until):
                lines.append(b"nothing was heard from it within %g s" % _START)
                break
            try:
                more = ours.recv(4096)
            except OSError:
                more = b""
            if not more:
                break
            lines = (b"\n".join(lines) + more).split(b"\n")
            if self._pidfd < 0:
                self._hold(lines[:-1])
        else:
            return None
        words = b" ".join(line for line in lines if line and not line.isdigit())
        return words.decode(errors="replace")[-_SHOWN:] or "it ended at once"

    def _hold(self, lines: list[bytes]) -> None:
        """Open a pidfd of the guard, whose pid is one of the lines."""
        for pid in map(int, filter(bytes.isdigit, lines)):
            with suppress(OSError):  # it has ended by now
                pidfd = self._held.open(os.pidfd_open, pid)
                # P5: the pid is still the guard's. In its execve() it has no arguments.
                if _CODE.encode() in (command_line(pid) or _CODE.encode()):
                    self._pidfd = pidfd


def _interpreter() -> str:
    """The Python that runs the guard.

    A program that embeds Python can name one, as it has to for multiprocessing.

    Raises:
        RuntimeError: If there is none.
    """
    spawn: Any = sys.modules.get("multiprocessing.spawn")
    chosen = os.fsdecode((spawn and spawn.get_executable()) or sys.executable or "")
    is_itself = getattr(sys, "frozen", False) and chosen == sys.executable
    if chosen and not is_itself:
        return chosen
    if is_itself:
        why = f"sys.executable, {chosen!r}, is not one: this is a frozen application"
    else:
        why = (
            "sys.executable is not set: name one with multiprocessing.set_executable()"
        )
    raise RuntimeError(
        f"die_with_parent=True runs a small guard in a Python interpreter, and {why}"
    )


def _is_ready(ours: socket.socket, event: int, until: float) -> bool:
    """Wait until the socket is ready for ``event``; false if that takes too long."""
    poll = select.poll()
    poll.register(ours, event)
    return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))


def _start_beside_us(command: Command, files: tuple[int, int, int]) -> None:
    """Start a command whose background process does not become a child of ours."""
    pids: list[int] = []
    try:
        # A subreaper would adopt it. So we adopt nothing for a millisecond, and orphans
        # of that time go to the next reaper.
        with not_adopting():
            start_program(pids, command, files, None, -1)
            with suppress(ChildProcessError):  # SIGCHLD is ignored
                os.waitpid(pids[0], 0)
    except BaseException:  # interrupted, by a signal handler (P14)
        for pid in pids:
            keep_for_later(pid)
        raise


guard = Guard()

atexit.register(guard.flush)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=guard.forked)
