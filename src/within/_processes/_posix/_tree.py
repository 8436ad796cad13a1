"""The processes that belong to a child: members of its group, carriers of its mark.

The kernel signals a group as a whole and atomically, so nothing here is needed for
that. It is needed to learn when all members are gone, and to reach processes that
left the group (P7). All of it reads ``/proc``, which only Linux has in this form;
elsewhere no process is found, and we do not wait until a group is gone.
"""

from __future__ import annotations

import errno
import os
import select
import signal as signals
import sys
import time
from posix import listdir, readlink  # not those of os: see below
from typing import TYPE_CHECKING

from .._activity import Activity
from .._descriptors import Descriptors
from ._marks import (
    found_in,
    is_in_environment,
    is_in_limit,
    limit_in,
    limit_of,
    mark_limits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Reading /proc never blocks. But tools that report blocking calls on a loop
# (BlockBuster) replace functions of `os`. So this takes some functions from below `os`,
# and opens files with O_NONBLOCK, whose reads are not reported.
READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

# Pids are allocated in order. Up to this many new ones are looked at one by one; for
# more, or after the pids have wrapped around, listing all processes is faster.
FEW_FORKS = 500

# How much of a file in /proc is read at once, in bytes.
_CHUNK = 65536

# States of a process that no longer runs, or does not exist.
_DEAD = (b"Z", b"X", b"")

# A process flag: this is a thread of the kernel, and has no environment.
_PF_KTHREAD = 0x00200000

# Another one: it is exiting, and runs no more code of its program.
_PF_EXITING = 0x00000004

# How many new processes one search looks at, at most. Usually there are hardly any.
_CHASE = 10_000

# A pid is allocated some microseconds before its process is visible. A search waits this
# long for one that was not found, in seconds.
_UNTIL_VISIBLE = 0.001

# How long we wait for a process that is in execve(), where it has no environment, in
# seconds. It takes long on a busy machine or from a cold disk.
EXEC = 0.05


class _Proc:
    """Whether there is a ``/proc``, and whether its pids are those of our namespace.

    If we are in a pid namespace of our own and see the ``/proc`` of the host, every
    number in it means another process.
    """

    def __init__(self) -> None:
        try:
            self.is_usable = (
                sys.platform == "linux"
                and readlink("/proc/self") == str(os.getpid())
                and os.path.exists("/proc/self/stat")
            )
        except OSError:
            self.is_usable = False


_proc = _Proc()

if hasattr(os, "register_at_fork"):  # a fork may be the first of a new namespace
    os.register_at_fork(after_in_child=_proc.__init__)  # type: ignore[misc]


def can_search() -> bool:
    """Whether processes can be found at all."""
    return _proc.is_usable


def mark_family(pid: int, mark: str) -> None:
    """Mark the limits of our unreaped child ``pid`` and of what it has forked by now.

    It was just started, but on a busy machine it may have run for a while already. From
    here on, whatever it forks inherits the mark. A fork that has begun may have copied
    the limits before, so this is repeated when the tree is to end.
    """
    pending = [pid]
    while pending:
        parent = pending.pop()
        mark_limits(parent, mark)
        pending += map(int, _read(f"/proc/{parent}/task/{parent}/children").split())


def marked_processes(mark: str) -> Iterator[tuple[int, int]]:
    """The processes that inherited ``mark`` (P7): (pid, pidfd) of each.

    The pidfd is open until the next pair is asked for, so the pid cannot be reused
    unnoticed until then (P5).

    A process that keeps forking and exiting is gone by the time that we get to it in a
    list. But if nothing is forked while we look, nothing is missed. So we look at new
    processes too, and at them first, before they can fork and exit in turn.
    """
    newest = newest_pid()
    pending = listed()
    missed: dict[int, float] = {}  # until when to look at each again
    budget = _CHASE
    while pending or missed:
        for pid in [pending.pop() for _ in range(min(len(pending), 10))]:
            with Descriptors() as held:
                try:
                    pidfd = held.open(os.pidfd_open, pid)
                except ProcessLookupError:
                    missed.setdefault(pid, time.monotonic() + _UNTIL_VISIBLE)
                    continue
                except OSError as error:  # the number of a thread
                    _nothing(error)
                    continue
                found = has_mark(pid, mark)
                if found is None:
                    missed.setdefault(pid, time.monotonic() + EXEC)
                    continue
                missed.pop(pid, None)  # or it would be yielded again and again
                if found:
                    yield pid, pidfd
        since, newest = newest, newest_pid()
        new = list(range(since + 1, newest + 1))
        if not 0 <= newest - since <= _CHASE:
            new = listed()
        if budget > 0:
            pending += new
            budget -= len(new)
        if not pending:
            now = time.monotonic()
            missed = {pid: until for pid, until in missed.items() if until > now}
            pending = list(missed)
            if pending:
                select.select([], [], [], 0.0002)  # let them run


def has_mark(pid: int, mark: str) -> bool | None:
    """Whether one process inherited ``mark``; ``None`` if that is not known yet."""
    environ = _read(f"/proc/{pid}/environ")
    if has_marked_limits(pid, mark):
        return is_alive(pid)  # a zombie still has limits, but no environment
    if not environ:
        state, flags, threads = _status(pid)
        if state == b"Z" and threads > 1:
            # Its first thread has ended; the others have the same environment.
            for thread in _listdir(f"/proc/{pid}/task"):
                environ = environ or _read(f"/proc/{pid}/task/{thread}/environ")
        elif state not in _DEAD and not flags & _PF_KTHREAD:
            # It has none, or we may not read it, or it is in execve().
            return None if _has_none_yet(pid) else False
    return is_in_environment(mark, environ)


def has_marked_limits(pid: int, mark: str) -> bool:
    """Whether the limits of one process, even of a zombie, have ``mark``."""
    return is_in_limit(mark, _limit(pid))


def marks_of(pid: int, marks: Iterable[str]) -> list[str]:
    """Those of ``marks`` that one process carries, as far as is known now."""
    found = found_in(marks, _read(f"/proc/{pid}/environ"), _limit(pid))
    return found if found and is_alive(pid) else []


def _limit(pid: int) -> tuple[int, ...]:
    try:
        return limit_of(pid)  # much faster than the file
    except (OSError, AttributeError):
        return limit_in(_read(f"/proc/{pid}/limits"))


def _has_none_yet(pid: int) -> bool:
    """Whether a process without an environment is in execve(), about to get it."""
    fields = _fields(pid)
    if not fields or 0 < int(fields[47]) == int(fields[48]):
        return False  # it is gone, or its environment exists and is empty
    with Descriptors() as held:
        try:
            held.open(os.open, f"/proc/{pid}/environ", READING)
        except PermissionError:
            return False
        except OSError as error:
            _nothing(error)
    return True


def group_of(pid: int) -> int:
    """The process group of a process; -1 if it is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def session_of(pid: int) -> int:
    """The session of a process; -1 if it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def is_alive(pid: int) -> bool:
    """False for a zombie: it is dead, though not reaped yet."""
    state, _, threads = _status(pid)
    return state not in _DEAD or threads > 1  # only its first thread has ended


def is_exiting(pid: int) -> bool:
    """Whether it is inside exit(2), or dead."""
    state, flags, threads = _status(pid)
    return threads <= 1 and (state in _DEAD or bool(flags & _PF_EXITING))


def is_running(pid: int) -> bool:
    """Whether it runs, or waits for a CPU or a disk."""
    return _status(pid)[0] in (b"R", b"D")


def activity(pid: int) -> Activity:
    """What one process is doing."""
    fields = _fields(pid)
    if not fields:
        return Activity(b"", 0)
    return Activity(fields[0], sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"))


def identity(status: os.stat_result) -> tuple[int, int]:
    """Which file it is."""
    return status.st_dev, status.st_ino


def is_our_zombie(pid: int) -> bool:
    """Whether it is dead, and ours to reap."""
    fields = _fields(pid)
    return bool(fields) and fields[0] == b"Z" and int(fields[1]) == os.getpid()


def caught_signals() -> int | None:
    """The signals that this program has handlers for, in C or in Python, as a mask."""
    found = _read("/proc/self/status").partition(b"SigCgt:")[2].split(maxsplit=1)
    return int(found[0], 16) if found else None


def may_signal(pid: int) -> bool:
    """Whether we have permission: false for a set-uid program such as sudo."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def ignoring_missing(send: Callable[[int, int], None], to: int, number: int) -> None:
    """Send a signal; do nothing if there is no process that can take it."""
    try:
        send(to, number)
    except (ProcessLookupError, PermissionError):
        # macOS reports EPERM for a group of zombies. Every system reports it for a
        # set-uid child, about which we can do nothing.
        pass


def signal_member(
    pid: int, leader: int, number: int, group_of: Callable[[int], int] = group_of
) -> None:
    """Send a signal to one member of a group or session, if it still is one (P5)."""
    with Descriptors() as held:
        try:
            pidfd = held.open(os.pidfd_open, pid)
        except (OSError, AttributeError):
            return
        if group_of(pid) == leader:
            ignoring_missing(signals.pidfd_send_signal, pidfd, number)


def command_line(pid: int) -> bytes:
    """The program of a process and its arguments, each ended by a NUL."""
    return _read(f"/proc/{pid}/cmdline")


def started_at(pid: int) -> int:
    """When it was started, in clock ticks: with the pid, this is an identity."""
    fields = _fields(pid)
    return int(fields[19]) if fields else -1


def listed() -> list[int]:
    """Every process."""
    return [int(name) for name in _listdir("/proc") if name.isdecimal()]


def newest_pid() -> int:
    """The number last given to a process or a thread; 0 if unknown."""
    load = _read("/proc/loadavg").split()
    return int(load[-1]) if load else 0


def _status(pid: int) -> tuple[bytes, int, int]:
    """The state of its first thread, its flags, and how many threads it has."""
    fields = _fields(pid)
    return (fields[0], int(fields[6]), int(fields[17])) if fields else (b"", 0, 0)


def _fields(pid: int) -> list[bytes]:
    """The state of a process and what follows it in its ``stat``; nothing if gone.

    proc(5) counts from 1 and has the state as field 3, so ``[n]`` is its field n + 3.
    """
    # The name before the state, in parentheses, may contain anything.
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _listdir(path: str) -> list[str]:
    if not _proc.is_usable:
        return []
    try:
        return listdir(path)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _read(path: str) -> bytes:
    """The whole of a small file; nothing if the process is gone by now."""
    if not _proc.is_usable:
        return b""
    with Descriptors() as held:
        try:
            fd = held.open(os.open, path, READING)
        except OSError as error:
            return _nothing(error)
        try:
            data = more = os.read(fd, _CHUNK)
            while more:
                data += (more := os.read(fd, _CHUNK))
        except OSError:
            return b""
        return data


def _nothing(error: OSError) -> bytes:
    """Take ``error`` for a missing file, unless we are out of descriptors (P16)."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
    return b""
