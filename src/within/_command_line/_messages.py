"""What the command line prints on standard error."""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from .._results import Usage


def say(message: object) -> None:
    """Print one line on stderr; a stderr that is closed or full changes nothing."""
    with unstopped(), suppress(OSError):
        os.write(2, f"within: {message}\n".encode(errors="backslashreplace"))


def say_usage(used: Usage | None) -> None:
    """Print what the command has used."""
    if used is not None:
        say(
            f"wall {used.wall:.3f} s, user {used.user:.3f} s, "
            f"system {used.system:.3f} s, peak memory {used.max_rss / 2**20:.1f} MiB"
        )


@contextmanager
def unstopped() -> Generator[None, None, None]:
    """Use the terminal from the background without being stopped for it.

    The kernel lets a process that blocks SIGTTOU go ahead. A handler does not help:
    the call would be interrupted and restarted forever.
    """
    if sys.platform == "win32":
        yield
        return
    before = signals.pthread_sigmask(signals.SIG_BLOCK, [signals.SIGTTOU])
    try:
        yield
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)
