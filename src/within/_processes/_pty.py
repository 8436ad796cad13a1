"""The options of a terminal for a child: its size, and how the child is ended (P21)."""

from __future__ import annotations

import signal as signals
import sys
from typing import Any

from ._options import DEVNULL, PIPE, STDOUT

# The default size, in rows and columns.
_USUAL = (24, 80)

_NAMES: dict[int, str] = {PIPE: "PIPE", STDOUT: "STDOUT", DEVNULL: "DEVNULL"}

# A terminal's size is kept in two unsigned shorts.
_MOST = (1 << 16) - 1


def polite_signal(number: int, *, on_terminal: bool) -> int:
    """The signal that asks a child to end: on a terminal, SIGHUP in place of SIGTERM.

    An interactive shell ignores SIGTERM. After a real hang-up, it would also read an end
    of file; that is typed when its stdin is closed.
    """
    if sys.platform == "win32":
        return number
    hangs_up = on_terminal and number == signals.SIGTERM
    return signals.SIGHUP if hangs_up else number


def check_size(rows: Any, columns: Any) -> tuple[int, int]:
    """Return the size of a terminal, or raise an error that says what is wrong."""
    for what, number in (("rows", rows), ("columns", columns)):
        if type(number) is not int:
            raise TypeError(f"{what} is {number!r}: give a number of characters")
        if not 0 < number <= _MOST:
            raise ValueError(f"{what} is {number!r}: give a number from 1 to {_MOST}")
    return rows, columns


def check_pty(
    pty: Any, stdin: object, stdout: object, stderr: object
) -> tuple[int, int] | None:
    """Return the size of the terminal that was asked for, or ``None`` for no terminal.

    Raises:
        TypeError, ValueError: If it is neither a bool nor a size, or if the child is to
            have other files than the terminal.
        NotImplementedError: On Windows.
    """
    if pty is False:
        return None
    if sys.platform == "win32":
        raise NotImplementedError("pty= is not possible on Windows")
    try:
        rows, columns = _USUAL if pty is True else pty
    except (TypeError, ValueError):
        raise TypeError(f"pty is {pty!r}: give True, or (rows, columns)") from None
    size = check_size(rows, columns)
    usual = (("stdin", stdin, PIPE), ("stdout", stdout, PIPE), ("stderr", stderr, None))
    for name, file, default in usual:
        if file != default:
            raise ValueError(
                f"{name}={_named(file)} and pty={pty!r} cannot be combined: the terminal "
                "is the child's stdin, stdout and stderr"
            )
    return size


def _named(file: object) -> str:
    return _NAMES.get(file, repr(file)) if isinstance(file, int) else repr(file)
