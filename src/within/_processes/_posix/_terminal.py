"""A terminal for a child: a pseudo-terminal whose master we hold (P21).

What the child reads and writes is the slave. The kernel puts a line discipline between
the two: it echoes, edits lines, and turns keys into signals.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._descriptors import Descriptors

# A master whose slave is closed everywhere reports EIO on Linux, and EOF on BSD.
_END = errno.EIO


class Terminal:
    """One pseudo-terminal. Its descriptors belong to ``held``.

    Attributes:
        slave: For the child, and for us until the child has exited. Without a copy of
            ours, the master would report an end whenever the child has closed all of
            its own, though it may open ``/dev/tty`` again; and macOS discards what was
            not read yet when the last copy is closed.
        master: Our side, non-blocking, for reading.
        keyboard: A copy of it for writing, which can be closed by itself.
    """

    def __init__(self, held: Descriptors, size: tuple[int, int]) -> None:
        self._held = held
        self.master: int
        self.slave: int
        self.master, self.slave = held.pipe(os.openpty)
        self.keyboard: int = held.open(os.dup, self.master)
        os.set_blocking(self.master, False)  # for both: they are one open file
        self.resize(*size)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size. The kernel sends SIGWINCH to the foreground process group."""
        if self.slave in self._held:
            termios.tcsetwinsize(self.slave, (rows, columns))

    def write(self, fd: int, data: memoryview) -> int:
        """``os.write()``, with an error if no process has the terminal open.

        Linux accepts such bytes, although no process can ever read them.
        """
        poll = select.poll()
        poll.register(fd, 0)  # POLLHUP is always reported
        if poll.poll(0):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return os.write(fd, data)

    def type_end(self) -> None:
        """Type the end-of-file character.

        It ends the line that was typed before it, if there is one; only on an empty
        line does it mean the end of the input. So it is typed twice.
        """
        self._type(lambda mode, keys: keys[termios.VEOF] * 2)

    def type_again(self) -> None:
        """Type the end once more, for a child that should have ended by now.

        For a program that edits the line itself, like an interactive shell, end-of-file
        means nothing on a line that is half typed. So such a line is erased first.
        """
        self._type(
            lambda mode, keys: b"" if mode & termios.ICANON else keys[termios.VKILL]
        )
        self.type_end()

    def _type(self, keys_of: Callable[[int, Any], bytes]) -> None:
        """Type the keys that ``keys_of(local modes, special characters)`` returns."""
        if self.master not in self._held:
            return
        with suppress(OSError, termios.error):  # gone, or full
            modes: Any = termios.tcgetattr(self.master)
            os.write(self.master, keys_of(modes[3], modes[6]))

    def close_keyboard(self, fd: int) -> None:
        """Our stdin is closed: let the child see the end of its input."""
        self.type_end()
        self._held.close(fd)

    def child_has_exited(self) -> None:
        """Close our copy of the slave, so that the master can reach its end (P6)."""
        if sys.platform == "linux":  # which keeps what was not read
            self._held.close(self.slave)


def read(fd: int, most: int) -> bytes:
    """``os.read()``, but the end of a terminal is an end and not an error."""
    try:
        return os.read(fd, most)
    except OSError as error:
        if error.errno != _END:
            raise
        return b""
