"""The three files of a child, and our ends of those that are pipes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from .._files import BaseFiles, output_behind
from ._terminal import Terminal

if TYPE_CHECKING:
    from .._command import Command
    from .._descriptors import Descriptors
    from .._options import File

# Stands for one of our own files, which the child inherits.
_OURS = -1


class Files(BaseFiles):
    """What a child gets as stdin, stdout and stderr.

    Attributes:
        terminal: The child's own terminal, if it has one. It is all three files of the
            child, and both of our ends.
    """

    def __init__(
        self,
        held: Descriptors,
        stdin: File,
        stdout: File,
        stderr: File,
        command: Command,
    ) -> None:
        super().__init__(held)
        self._size = command.pipe_size
        self.terminal: Terminal | None = None
        if command.terminal is not None:
            self.terminal = Terminal(held, command.terminal)
            self.stdin: int | None = self.terminal.keyboard
            self.stdout: int | None = self.terminal.master
            slave = self.terminal.slave
            self.for_child: tuple[int, int, int] = (slave, slave, slave)
            return
        try:
            given = self._open(stdin, stdout, stderr)
        except BaseException:
            self.failed()
            raise
        self.for_child = (given[0], given[1], given[2])

    def _open(self, *targets: File) -> list[int]:
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
        """Close our end of its stdin; on a terminal, type the end-of-file character."""
        if self.terminal is None:
            super().close_stdin(fd)
        else:
            self.terminal.close_keyboard(fd)

    def write_stdin(self, fd: int, data: memoryview) -> int:
        """Write what its stdin takes without waiting; return the number of bytes."""
        if self.terminal is None:
            return os.write(fd, data)
        return self.terminal.write(fd, data)

    def _plain(self, target: File) -> int:
        if target is None:
            return _OURS
        if target == subprocess.DEVNULL:
            fd = self._held.open(os.open, os.devnull, os.O_RDWR)
            self._theirs.append(fd)
            return fd
        if (output := output_behind(target)) is not None:
            if os.isatty(output.fileno()):
                raise ValueError(
                    f"{target!r} is a terminal, and a program that reads one gets an "
                    "error instead of an end of file: read it yourself, and write what "
                    "you read to a pipe"
                )
            self._handed_over.append(output)
            return output.hand_over()
        fd = target if isinstance(target, int) else target.fileno()
        return int(fd)

    def _pipe(self, *, reading: bool) -> tuple[int, int]:
        readable, writable = self._held.pipe()
        theirs, ours = (writable, readable) if reading else (readable, writable)
        self._theirs.append(theirs)
        os.set_blocking(ours, False)
        set_size = getattr(fcntl, "F_SETPIPE_SZ", 0)
        if self._size is not None and set_size:
            fcntl.fcntl(ours, set_size, self._size)
        return theirs, ours


def _our_stdout() -> int:
    # As in Popen: the descriptor of sys.stdout may have been redirected.
    stdout: Any = sys.__stdout__
    return 1 if stdout is None else int(stdout.fileno())
