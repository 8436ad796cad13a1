"""The controlling terminal of this program: which group has it, and how we stop."""

from __future__ import annotations

import os
import signal as signals
import termios
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator


class ControllingTerminal:
    """Our controlling terminal, if there is one. It has to be opened and closed."""

    def __init__(self) -> None:
        self._fd = -1
        self._modes: list[Any] = []

    def open(self) -> bool:
        """Open it; false if we have none."""
        if self._fd < 0:
            with suppress(OSError):
                self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        return self._fd >= 0

    def close(self) -> None:
        """Close it. It can be opened again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def holder(self) -> int:
        """The foreground process group; -1 if there is no terminal."""
        try:
            return os.tcgetpgrp(self._fd) if self._fd >= 0 else -1
        except OSError:  # the terminal was hung up
            return -1

    def give_to(self, pgid: int) -> None:
        """Make ``pgid`` the foreground process group."""
        with unstopped(), suppress(OSError):  # hung up, or the group is gone
            os.tcsetpgrp(self._fd, pgid)

    def remember_modes(self) -> None:
        """Keep its modes as they are before another group gets it for the first time."""
        if not self._modes:
            with suppress(termios.error):
                self._modes = termios.tcgetattr(self._fd)

    def restore_modes(self) -> None:
        """Restore the modes: the group was killed, and may not have done so itself."""
        modes, self._modes = self._modes, []
        if modes:
            with unstopped(), suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, modes)

    def forget_modes(self) -> None:
        """Forget the modes: the group has ended by itself, and what it has set stays."""
        self._modes = []


@contextmanager
def unstopped() -> Generator[None, None, None]:
    """Use the terminal from the background without being stopped for it.

    The kernel lets a process that blocks SIGTTOU go ahead. A handler does not help:
    the call would be interrupted and restarted forever.
    """
    before = signals.pthread_sigmask(signals.SIG_BLOCK, [signals.SIGTTOU])
    try:
        yield
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)


def stop_ourselves(target: int) -> None:
    """Stop our process, or our group for 0, and return when we are continued.

    The call returns at once if nobody could continue us: the kernel does not stop the
    members of an orphaned process group.
    """
    handler = signals.signal(signals.SIGTSTP, signals.SIG_DFL)
    try:
        os.kill(target, signals.SIGTSTP)
    finally:
        signals.signal(signals.SIGTSTP, handler)


def stop_signal(kind: int, pid: int, more: int = 0) -> int:
    """The signal that has stopped a child since the last look; 0 for none.

    The arguments are those of :func:`os.waitid`, with more options.
    """
    with suppress(ChildProcessError):  # all are reaped
        if found := os.waitid(kind, pid, os.WSTOPPED | os.WNOHANG | more):
            return found.si_status
    return 0
