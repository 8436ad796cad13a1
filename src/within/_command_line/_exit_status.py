"""Exit statuses, the same as those of timeout(1) in coreutils and POSIX.1-2024."""

from __future__ import annotations

import errno
import os
import signal as signals
import sys
from contextlib import suppress

from .._processes._platform import KILL

TIMED_OUT = 124
FAILED = 125  # within itself failed
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNALLED = 128  # plus the number of the signal

# Errors that mean that we, not the command, ran out of something.
OUT_OF_RESOURCES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def after_timeout(returncode: int, *, preserve: bool) -> int:
    """The exit status of ``within`` after a timeout, given the command's returncode."""
    # As in coreutils, a command that had to be killed is reported as killed.
    if not preserve and returncode != -KILL:
        return TIMED_OUT
    return returncode if returncode >= 0 else SIGNALLED - returncode


def die_of(number: int, target: int) -> int:
    """End by signal ``number``, so that a shell sees how the command ended.

    Args:
        number: The signal that ended the command.
        target: Where to send it: our pid, or 0 for our process group.

    Returns:
        The exit status that a shell would show, if the signal does not end us.
    """
    if sys.platform == "win32":
        return SIGNALLED + number

    import resource

    # Our own core dump would be useless. A limit of 1 byte prevents it on Linux,
    # even where cores are piped to a program; a limit of 0 does not (core(5)).
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))
    with suppress(OSError):  # SIGKILL has no handler to reset
        signals.signal(number, signals.SIG_DFL)
    signals.pthread_sigmask(signals.SIG_UNBLOCK, [number])
    os.kill(target, number)
    return SIGNALLED + number
