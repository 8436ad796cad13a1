"""Finds processes that are still reading the output of an ended program (P6).

Such a helper reads a pipe that has no writer any more, like the ``tee`` of
``exec > >(tee log)``. It still has to process what is in the pipe.
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
    """The identity of the file that a child gets as its input; -1 stands for ours."""
    try:
        return identity(os.fstat(max(fd, 0)))
    except OSError:  # it is closed, for the child as well
        return None


def reads_from_the_dead(pid: int, but: tuple[int, int] | None) -> bool:
    """Whether its stdin is a pipe that has no writer any more.

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
            # This adds a reader for a moment, but reads nothing.
            fd = held.open(os.open, path, READING)
            if _is_hung_up(fd):
                return True
            ends = held.pipe()
            # All pipes without a name are on one device.
            is_named = status.st_dev != os.fstat(ends[0]).st_dev
            return is_named and _would_not_wait(fd, ends, held)
        except OSError as error:  # it is gone or closed, or belongs to another user
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return False


def _is_hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _would_not_wait(fd: int, ends: tuple[int, int], held: Descriptors) -> bool:
    """Whether reading a named pipe would give data, or its end, at once.

    The kernel does not report to a new reader of a named pipe that the writers are gone,
    because they may be yet to come. To find out without reading, we have the kernel move
    data into another pipe, ``ends``, which has no reader. That always fails, but the
    kernel first checks whether it would have to wait for the data.
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
