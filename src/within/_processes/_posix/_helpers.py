"""Processes that still have output of an ended program to deal with (P6).

Such a helper reads a pipe to which nobody writes any more, like the ``tee`` of
``exec > >(tee log)``. It is at work on what came through that pipe.
"""

from __future__ import annotations

import errno
import os
import select
import signal as signals
import stat

from .._descriptors import Descriptors
from ._tree import READING, can_search, identity


def identity_of_input(fd: int) -> tuple[int, int] | None:
    """Which file a child gets as its input; -1 stands for ours."""
    try:
        return identity(os.fstat(max(fd, 0)))
    except OSError:  # it is closed, for the child as well
        return None


def reads_from_the_dead(pid: int, but: tuple[int, int] | None) -> bool:
    """Whether its stdin is a pipe to which nobody writes any more.

    ``but`` is the identity of a pipe that does not count.

    Raises:
        OSError: If we are out of descriptors.
    """
    if not can_search():
        return False
    path = f"/proc/{pid}/fd/0"
    with Descriptors() as held:
        try:
            status = os.fstat(held.open(os.open, path, os.O_PATH | os.O_CLOEXEC))
            if not stat.S_ISFIFO(status.st_mode) or identity(status) == but:
                return False
            # This makes one reader more for a moment, and reads nothing.
            fd = held.open(os.open, path, READING)
            if _is_hung_up(fd):
                return True
            ends = held.pipe()
            is_named = status.st_dev != os.fstat(ends[0]).st_dev
            return is_named and _would_not_wait(fd, ends, held)
        except OSError as error:  # it is gone, or closed, or another user's
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return False


def _is_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _would_not_wait(fd: int, ends: tuple[int, int], held: Descriptors) -> bool:
    """Whether reading a named pipe would give data, or its end, at once.

    The kernel does not tell a new reader of a named pipe that the writers are gone: they
    may be yet to come. To ask without reading, we have the data moved into a pipe,
    that of ``ends``, which is broken. That fails in any case, but before that the kernel looks whether it would
    have to wait.
    """
    if not hasattr(os, "splice"):
        return False
    reading, writing = ends
    held.close(reading)
    before = signals.pthread_sigmask(signals.SIG_BLOCK, ())
    try:
        signals.pthread_sigmask(signals.SIG_BLOCK, [signals.SIGPIPE])
        os.splice(fd, writing, 1, flags=os.SPLICE_F_NONBLOCK)
    except BrokenPipeError:
        signals.sigtimedwait([signals.SIGPIPE], 0)  # it comes with the error
        return True
    except BlockingIOError:
        return False
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)
    return False
