"""What the command line prints on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from ._options import signal_name

if sys.platform == "win32":
    unstopped = nullcontext
else:
    from .._processes._posix._tty import unstopped

if TYPE_CHECKING:
    from .._results import Usage


def say(message: object) -> None:
    """Print one line on stderr; a stderr that is closed or full changes nothing."""
    with unstopped(), suppress(OSError):
        os.write(2, f"within: {message}\n".encode(errors="backslashreplace"))


def say_signal(number: int, command: str) -> None:
    """Print that ``command`` is sent a signal."""
    say(f"sending signal {signal_name(number)} to command {command!r}")


def say_usage(used: Usage | None) -> None:
    """Print what the command has used."""
    if used is not None:
        say(
            f"wall {used.wall:.3f} s, user {used.user:.3f} s, "
            f"system {used.system:.3f} s, peak memory {used.max_rss / 2**20:.1f} MiB"
        )
