"""The three files of a child, and our ends of those that are pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

from ._pty import Terminal

if TYPE_CHECKING:
    from ._command import Command
    from ._descriptors import Descriptors

# Stands for a file of ours that the child inherits.
_OURS = -1


class Closable(Protocol):
    """One of our ends of a pipe."""

    def close(self) -> None:
        """Close it at once."""


class Files:
    """What a child gets as stdin, stdout and stderr.

    Every descriptor that is opened for this belongs to ``held`` from the start, and is
    closed with it, whatever fails.

    Attributes:
        for_child: Three descriptors for the child; -1 for ours.
        stdin, stdout, stderr: Our ends of the pipes, non-blocking; ``None`` where
            something other than ``PIPE`` was asked for.
        terminal: That of the child, if it has one of its own. It is all three files of
            the child, and our stdin and stdout.
    """

    def __init__(
        self,
        held: Descriptors,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        command: Command,
    ) -> None:
        self._held = held
        self._size = (
            command.pipe_size
        )  # of the pipes, in bytes, where the system offers a choice
        self._theirs: list[int] = []
        self._handed_over: list[Any] = []  # streams of other children
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        self.terminal: Terminal | None = None
        if command.terminal is not None:
            self.terminal = Terminal(held, command.terminal)
            self.stdin, self.stdout = self.terminal.keyboard, self.terminal.master
            slave = self.terminal.slave
            self.for_child: tuple[int, int, int] = (slave, slave, slave)
            return
        try:
            given = self._open(stdin, stdout, stderr)
        except BaseException:
            self.failed()
            raise
        self.for_child = (given[0], given[1], given[2])

    def _open(self, *targets: Any) -> list[int]:
        given: list[int] = []
        for name, target in zip(("stdin", "stdout", "stderr"), targets, strict=True):
            if target == subprocess.PIPE:
                theirs, ours = self._pipe(reading=name != "stdin")
                setattr(self, name, ours)
                given.append(theirs)
            elif target == subprocess.STDOUT:
                given.append(_our_stdout() if given[1] == _OURS else given[1])
            else:
                given.append(self._plain(target))
        return given

    def close_stdin(self, fd: int) -> None:
        """Close our end of its stdin, so that the child sees the end of its input."""
        if self.terminal is None:
            self._held.close(fd)
        else:
            self.terminal.close_keyboard(fd)

    def started(self) -> None:
        """The child has its own ends now: close our copies of them."""
        for fd in self._theirs:
            self._held.close(fd)
        for stream in self._handed_over:
            stream.close()

    def failed(self) -> None:
        """The child was not started: give streams of other children back."""
        for stream in self._handed_over:
            stream.take_back()

    def _plain(self, target: Any) -> int:
        if target is None:
            return _OURS
        if target == subprocess.DEVNULL:
            fd = self._held.open(os.open, os.devnull, os.O_RDWR)
            self._theirs.append(fd)
            return fd
        if hasattr(target, "hand_over"):  # P20: the output of another child
            if os.isatty(target.fileno()):
                raise ValueError(
                    f"{target!r} is a terminal, whose end is an error for a program "
                    "that reads it: read it yourself, and write to a pipe"
                )
            self._handed_over.append(target)
            return int(target.hand_over())
        fd = target if isinstance(target, int) else target.fileno()
        return int(fd)

    def _pipe(self, *, reading: bool) -> tuple[int, int]:
        readable, writable = self._held.pipe()
        theirs, ours = (writable, readable) if reading else (readable, writable)
        self._theirs.append(theirs)
        os.set_blocking(ours, False)
        if self._size is not None:
            import fcntl  # not on Windows, which check_command() refuses

            if set_size := getattr(fcntl, "F_SETPIPE_SZ", 0):
                fcntl.fcntl(ours, set_size, self._size)
        return theirs, ours


def _our_stdout() -> int:
    # As in Popen: the descriptor of sys.stdout may have been redirected.
    stdout: Any = sys.__stdout__
    return 1 if stdout is None else int(stdout.fileno())
