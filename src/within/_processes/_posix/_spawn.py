"""Starting a program on a terminal of its own without fork(2) (P21).

A process gets its controlling terminal in its own code: by an ioctl, which
``_posixsubprocess.fork_exec`` does not offer, or on Linux by opening one as the leader
of a session. posix_spawn(3) opens files in the child after setsid(2), and shares our
memory with the child until exec, so its cost does not grow with our size. What it cannot
do (a directory, another user) is left to fork(2).
"""

from __future__ import annotations

import errno
import os
import signal as signals
import sys
from functools import partial
from posix import listdir  # not os.listdir: see _tree
from typing import TYPE_CHECKING, Any

from .._descriptors import keep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._command import Command
    from .._options import CommandOptions

# What posix_spawn() cannot do between setsid() and exec().
_NEED_A_FORK = ("cwd", "user", "group", "extra_groups", "umask", "preexec_fn")

# Python ignores these, and subprocess.Popen restores them. Some systems lack some of
# them.
_IGNORED = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")


def spawn(
    pids: list[int],
    command: Command,
    paths: Sequence[bytes],
    env: Mapping[Any, Any] | None,
    slave: int,
) -> bool:
    """Start ``command`` at the first of ``paths`` that works, with ``slave`` as terminal.

    Its pid is appended to ``pids`` in the same step (P14).

    Returns:
        False if this cannot be done here, and nothing was started.

    Raises:
        OSError: The error of the kernel, if none of ``paths`` works.
    """
    options = command.options
    if sys.platform != "linux" or any(name in options for name in _NEED_A_FORK):
        return False
    try:
        terminal = os.ttyname(slave)
        actions = _file_actions(terminal, options)
    except OSError:  # no /proc, or a terminal from another mount namespace
        return False
    names = _IGNORED if options.get("restore_signals", True) else ()
    make = partial(
        os.posix_spawn,
        file_actions=actions,
        setsid=True,
        setsigmask=(),  # ours may block the polite signal
        setsigdef=[getattr(signals, name) for name in names if hasattr(signals, name)],
    )
    failure: OSError | None = None
    for path in paths:
        try:
            keep(pids, make, path, command.args, os.environ if env is None else env)
            return True
        except NotImplementedError:  # Python was built with a glibc before 2.26
            return False
        except OSError as error:  # as execvp(3) does, go on to the next one
            if error.errno == errno.EBADF:
                # An inherited descriptor is above a limit that was lowered after it was
                # opened, and glibc refuses to close it.
                return False
            if failure is None or failure.errno in (errno.ENOENT, errno.ENOTDIR):
                failure = error
    assert failure is not None
    raise failure


def _file_actions(terminal: str, options: CommandOptions) -> list[tuple[Any, ...]]:
    actions: list[tuple[Any, ...]] = []
    passed = {fd for fd in map(int, options.get("pass_fds", ())) if fd > 2}
    for fd in sorted(passed):  # dup2() clears the flag that closes it at exec
        actions += [(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, 0, fd)]
    if options.get("close_fds", True) or passed:
        actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() - passed]
    actions.append((os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
    actions += [(os.POSIX_SPAWN_DUP2, 0, fd) for fd in (1, 2)]
    return actions


def _inheritable() -> set[int]:
    """The descriptors that exec would leave open; Python itself opens none like that."""
    found: set[int] = set()
    for fd in map(int, listdir("/proc/self/fd")):
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.add(fd)
        except OSError:  # that of the listing itself
            pass
    return found
