"""A descriptor that becomes readable when a child exits, without reaping it.

As long as a child is not reaped, neither its pid nor its group's can go to another
process (P5). So we have to notice the exit first, and reap the child last.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from ..._backends import current
from .._descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

# How long to wait for a thread whose child has exited, in seconds.
_PATIENCE = 1.0

# Threads that wait for a child because there are no pidfds, by the child's pid.
_threads: dict[int, threading.Thread] = {}


def open_exit(pid: int, held: Descriptors) -> int:
    """A descriptor that is readable once our child has exited, kept by ``held``."""
    pidfd_open = getattr(os, "pidfd_open", None)  # Linux, and not in every build
    if pidfd_open is not None:
        try:
            return held.open(pidfd_open, pid)
        except ProcessLookupError:
            return _hung_up(held)  # reaped already: SIGCHLD is ignored (P16)
        except OSError as error:
            # The kernel, or a sandbox around us, may not have the call.
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
    return _from_thread(pid, held)


async def until_exit(exit_fd: int, has_exited: Callable[[], bool]) -> None:
    """Wait until the child of ``exit_fd`` has exited."""
    # Each waiter has a copy of its own: there may be several, and another task may reap
    # the child, and close all of its descriptors, before we run again.
    with Descriptors() as own:
        copy = own.open(os.dup, exit_fd)
        while not has_exited():
            await current().wait_readable(copy)


def _from_thread(pid: int, held: Descriptors) -> int:
    """The same without a pidfd: a thread waits, and then hangs up a pipe."""
    readable, writable = held.pipe()
    # The thread owns a copy, because it may outlive everything else.
    own = Descriptors()
    own.open(os.dup, writable)

    def wait() -> None:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # reaped by other code, and so gone
        finally:
            own.close_all()

    thread = threading.Thread(target=wait, name=f"within-wait-{pid}", daemon=True)
    _threads[pid] = thread
    thread.start()
    held.close(writable)
    return readable


def end_waiting(pid: int) -> None:
    """End the thread that waits for ``pid``, if any: the child has exited (P14).

    It has to end before the child is reaped. Later, its call might find another child
    of ours that has the same pid.
    """
    thread = _threads.pop(pid, None)
    if thread is not None and thread.is_alive():
        thread.join(_PATIENCE)


def _hung_up(held: Descriptors) -> int:
    readable, writable = held.pipe()
    held.close(writable)
    return readable
