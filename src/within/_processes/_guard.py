"""Ends our trees if this program is killed (P19): our side of the guard.

A program that is killed by SIGKILL, by the OOM killer or by a crash cannot end its
children. PR_SET_PDEATHSIG is not enough: it follows the thread that forked, reaches
the child alone, and is lost when a set-uid program is executed. So one small process,
the guard, waits for this program to end. It is started when first needed, serves all
trees of the program, and finds them by their marks, so that it cannot hit a process that
has reused a pid of ours (P5). See ``_guarding`` for what it does.

A pipe tells it which trees there are. It also tells it when we end, because only this
program holds the writing end.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path

from ._command import Command
from ._descriptors import Descriptors
from ._fork import start_program
from ._lost import keep_for_later
from ._tree import can_search

# What the guard runs. It needs a few small modules only, and not within/__init__.py.
_CODE = """
import sys, types
package = types.ModuleType("within")
package.__path__ = [sys.argv[1]]
sys.modules["within"] = package
from within._processes._guarding import main
main(int(sys.argv[2]))
"""

# A shell gives /dev/null to what it starts in the background, unless told otherwise.
_IN_BACKGROUND = 'exec 3<&0; "$@" <&3 3<&- &'

# How long to wait for a guard that does not read. In seconds.
_PATIENCE = 1.0


class Guard:
    """The guard of this program, once there is one."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a dropped child inside any method.
        self._lock = threading.RLock()
        self._trees: dict[str, str] = {}  # mark -> what the guard was told of it
        self._held = Descriptors()
        self._fd = -1

    def expect(self, mark: str) -> None:
        """A tree with ``mark`` is about to be started, and we may be killed just then.

        Raises:
            NotImplementedError: Where no guard can find or signal a tree.
        """
        if not can_search() or not hasattr(os, "pidfd_open"):
            raise NotImplementedError(
                "die_with_parent=True needs Linux with pidfds and the /proc of its pid "
                "namespace"
            )
        self._tell(mark, f"+ {mark}")

    def started(
        self, mark: str, pid: int, tree: str, groups: tuple[int, ...] = ()
    ) -> None:
        """The tree has a leader now, and ``tree`` says what belongs to it."""
        self._tell(mark, " ".join(map(str, ("=", mark, pid, tree, *groups))))

    def forget(self, mark: str) -> None:
        """The tree has been ended."""
        if self._trees.pop(mark, None) is not None and self._fd >= 0:
            with suppress(BrokenPipeError):  # the next tree starts another guard
                self._send(f"- {mark}\n".encode())

    def forked(self) -> None:
        """We are a fork. The guard is our parent's, and must notice when that ends."""
        self._held.close_all()
        self.__init__()  # type: ignore[misc]  # another thread may have held the lock

    def _tell(self, mark: str, message: str) -> None:
        self._trees[mark] = message
        self._write(message)

    def _write(self, message: str) -> None:
        with self._lock:
            if self._fd < 0:
                self._start()
                message = "\n".join(self._trees.values())
            try:
                self._send(f"{message}\n".encode())
            except BrokenPipeError:  # it was killed: start another one
                self._held.close_all()
                self._start()
                self._send("".join(f"{x}\n" for x in self._trees.values()).encode())

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(_PATIENCE * 1000):
                    raise RuntimeError("the guard process does not read") from None

    def _start(self) -> None:
        if not sys.executable:
            raise RuntimeError(
                "die_with_parent=True runs a small guard with sys.executable, which is "
                f"{sys.executable!r} here"
            )
        self._held.close_all()  # of a start that was interrupted
        package = str(Path(__file__).parent.parent)
        reading, writing = self._held.pipe()
        python = [sys.executable, "-I", "-S", "-c", _CODE, package, str(os.getpid())]
        null = self._held.open(os.open, os.devnull, os.O_RDWR)
        # The shell ends at once, so that the guard is no child of ours: a program that
        # waits for all of its children would wait for it. In a session of its own, no
        # Ctrl-C and no signal to our group reaches it.
        command = Command(
            ("/bin/sh", "-c", _IN_BACKGROUND, "sh", *python),
            {"cwd": "/", "start_new_session": True},
        )
        pids: list[int] = []
        try:
            start_program(pids, command, (reading, null, null), None, -1)
            with suppress(ChildProcessError):  # SIGCHLD is ignored
                os.waitpid(pids[0], 0)
        except BaseException:  # interrupted, by a signal handler (P14)
            for pid in pids:
                keep_for_later(pid)
            raise
        self._held.close(null)
        self._held.close(reading)
        os.set_blocking(writing, False)
        self._fd = writing


guard = Guard()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=guard.forked)
