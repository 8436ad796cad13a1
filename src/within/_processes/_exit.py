"""A descriptor that turns readable when a child exits, without reaping it.

As long as a child is not reaped, neither its number nor its group's can go to
somebody else (P5); so we want to hear of the exit first and reap last.
"""

from __future__ import annotations

import os
import threading


def open_exit(pid: int) -> int:
    """A descriptor for the exit of our child ``pid``; the caller closes it."""
    pidfd_open = getattr(os, "pidfd_open", None)  # Linux, and not in every build
    if pidfd_open is not None:
        try:
            descriptor: int = pidfd_open(pid)
        except ProcessLookupError:
            return _hung_up()  # reaped already: SIGCHLD is ignored (P16)
        except OSError as error:
            if not _is_missing(error):
                raise
        else:
            return descriptor
    return _from_thread(pid)


def _is_missing(error: OSError) -> bool:
    """Whether the kernel, or a sandbox around us, does not know the call."""
    import errno

    return error.errno in (errno.ENOSYS, errno.EPERM)


def _from_thread(pid: int) -> int:
    """The same without a pidfd: a thread that waits, and then hangs up a pipe."""
    readable, writable = os.pipe()

    def wait() -> None:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # reaped by somebody else, and so gone
        finally:
            os.close(writable)

    try:
        threading.Thread(target=wait, name=f"within-wait-{pid}", daemon=True).start()
    except BaseException:
        os.close(readable)
        os.close(writable)
        raise
    return readable


def _hung_up() -> int:
    readable, writable = os.pipe()
    os.close(writable)
    return readable
