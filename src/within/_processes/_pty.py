"""A terminal for a child: a pseudo-terminal, of which we hold the master (P21).

What the child reads and writes is the slave. The kernel puts a line discipline between
the two: it echoes, edits lines, and turns keys into signals.
"""

from __future__ import annotations

import errno
import os
import signal as signals
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._options import PIPE

if TYPE_CHECKING:
    from ._descriptors import Descriptors

# The size of a terminal that nobody has given a size, in rows and columns.
_USUAL = (24, 80)

# A terminal's size is kept in two unsigned shorts.
_MOST = (1 << 16) - 1

# A master whose slave is closed everywhere reports EIO on Linux, and EOF on BSD.
_END = errno.EIO


class Terminal:
    """One pseudo-terminal. Its descriptors belong to ``held``.

    Attributes:
        slave: For the child, and for us until the child has exited. Without a copy of
            ours the master would report an end whenever the child has closed all of
            its own, though it may open ``/dev/tty`` again; and macOS throws away what
            was not read yet when the last copy is closed.
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
        import termios  # not on Windows

        if self.slave in self._held:
            termios.tcsetwinsize(self.slave, (rows, columns))

    def type_end(self) -> None:
        """Type the end-of-file character.

        It ends the line that was typed before it, if there is one; only on an empty
        line does it mean the end of the input. So it is typed twice.
        """
        import termios

        with suppress(OSError, termios.error):  # gone, or full
            key: Any = termios.tcgetattr(self.keyboard)[6][termios.VEOF]
            os.write(self.keyboard, key * 2)

    def close_keyboard(self, fd: int) -> None:
        """Our stdin is closed: let the child see the end of its input."""
        self.type_end()
        self._held.close(fd)

    def child_has_exited(self) -> None:
        """Close our copy of the slave, so that the master can come to its end (P6)."""
        if sys.platform == "linux":  # which keeps what was not read
            self._held.close(self.slave)


def read(fd: int, most: int) -> bytes:
    """``os.read()``, for which the end of a terminal is an end, not an error."""
    try:
        return os.read(fd, most)
    except OSError as error:
        if error.errno != _END:
            raise
        return b""


def polite_signal(number: int, terminal: Terminal | None) -> int:
    """What asks a child to end: on a terminal that goes away, SIGHUP and not SIGTERM.

    An interactive shell ignores SIGTERM. The end of file, which its next read gives
    after a hang-up, is typed when its stdin is closed.
    """
    hangs_up = terminal is not None and number == signals.SIGTERM
    return signals.SIGHUP if hangs_up else number


def check_size(rows: Any, columns: Any) -> tuple[int, int]:
    """Return the size of a terminal, or raise the error that says what is wrong."""
    for what, number in (("rows", rows), ("columns", columns)):
        if type(number) is not int:
            raise TypeError(f"{what} is {number!r}: give a number of characters")
        if not 0 < number <= _MOST:
            raise ValueError(f"{what} is {number!r}: give a number from 1 to {_MOST}")
    return rows, columns


def check_pty(
    pty: Any, stdin: object, stdout: object, stderr: object
) -> tuple[int, int] | None:
    """Return the size of the terminal that is asked for, if one is.

    Raises:
        TypeError, ValueError: For anything else than a bool or a size, and together
            with files that are not the terminal.
        NotImplementedError: On Windows.
    """
    if pty is False:
        return None
    if sys.platform == "win32":
        raise NotImplementedError("pty= needs POSIX: there is no terminal to give")
    try:
        rows, columns = _USUAL if pty is True else pty
    except (TypeError, ValueError):
        raise TypeError(f"pty is {pty!r}: give True, or (rows, columns)") from None
    size = check_size(rows, columns)
    usual = (("stdin", stdin, PIPE), ("stdout", stdout, PIPE), ("stderr", stderr, None))
    for name, file, default in usual:
        if file != default:
            raise ValueError(
                f"{name}={file!r} and pty={pty!r} exclude each other: the terminal is "
                "the child's stdin, stdout and stderr"
            )
    return size
