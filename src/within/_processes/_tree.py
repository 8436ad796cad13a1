"""Who belongs to a child: the members of its group, the bearers of its mark.

A group is signalled whole and atomically by the kernel, so nothing here is
needed for that; it is needed to learn when everybody is gone, and to reach who
has left the group (P7). All of it reads ``/proc``, which only Linux has in this
form; elsewhere nobody is found, and a group's death is not waited for.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/stat")

# Numbers are given out in order. Up to this many births are looked at one by one;
# for more, or where the numbers have gone full circle, a listing is shorter.
FEW_BIRTHS = 500

# What is read of such a file at once, in bytes.
_CHUNK = 65536

# States of a process that runs no more, or is not there.
_DEAD = (b"Z", b"X", b"")

# Of the flags of a process: it is a thread of the kernel, and has no environment.
_PF_KTHREAD = 0x00200000

# Births that are looked at before it is enough. There are hardly any, as a rule.
_CHASE = 10_000

# A number is given some microseconds before its process can be found by it. Who
# was not found is looked for again for as long as this. In seconds.
_MATURITY = 0.001

# A process has no environment while it is in execve(): on a busy machine, and from
# a cold disk, for longer. In seconds; it ends as soon as there is one.
_EXEC = 0.05


def bearers(mark: str) -> Iterator[tuple[int, int]]:
    """Who inherited ``mark`` in their environment (P7): (number, pidfd) of each.

    The pidfd is open until the next is asked for, and with it the number is the
    bearer's own (P5).

    One that forks and exits, again and again, is on no list when its turn comes.
    But as long as nobody is born while we look, nobody has slipped by; so whoever
    is born is looked at as well, and first, before it can fork and exit in turn.
    """
    newest = newest_pid()
    pending = listed()
    missed: dict[int, float] = {}  # until when each is to be looked at again
    left = _CHASE
    while pending or missed:
        for pid in [pending.pop() for _ in range(min(len(pending), 10))]:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                missed.setdefault(pid, time.monotonic() + _MATURITY)
                continue
            except OSError as error:  # a thread's number
                _nothing(error)
                continue
            try:
                found = bears(pid, mark)
                if found is None:
                    missed.setdefault(pid, time.monotonic() + _EXEC)
                    continue
                missed.pop(pid, None)  # or it would be told again and again
                if found:
                    yield pid, pidfd
            finally:
                os.close(pidfd)
        since, newest = newest, newest_pid()
        born = list(range(since + 1, newest + 1))
        if not 0 <= newest - since <= _CHASE:
            born = listed()
        if left > 0:
            pending += born
            left -= len(born)
        if not pending:
            now = time.monotonic()
            missed = {pid: until for pid, until in missed.items() if until > now}
            pending = list(missed)
            if pending:
                time.sleep(0.0002)  # they need the processor, too


def bears(pid: int, mark: str) -> bool | None:
    """Whether one process inherited ``mark``; ``None`` if that cannot be told yet."""
    environ = _read(f"/proc/{pid}/environ")
    if not environ:
        state, flags, threads = _status(pid)
        if state == b"Z" and threads > 1:
            # Its first thread has ended; what the others see is the same.
            for thread in _listdir(f"/proc/{pid}/task"):
                environ = environ or _read(f"/proc/{pid}/task/{thread}/environ")
        elif state not in _DEAD and not flags & _PF_KTHREAD:
            # Either it has none, or it is not ours to read, or execve() is at work.
            return None if _has_none_yet(pid) else False
    return f"\0{mark}=".encode() in b"\0" + environ


def _has_none_yet(pid: int) -> bool:
    """Whether a process without an environment is in execve(), about to get it."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if not fields or 0 < int(fields[47]) == int(fields[48]):
        return False  # it is gone, or its environment has a place and is empty
    try:
        os.close(os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC))
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


def is_alive(pid: int) -> bool:
    """False for a zombie: it is dead, though its parent has not said so."""
    state, _, threads = _status(pid)
    return state not in _DEAD or threads > 1  # only its first thread has ended


def is_running(pid: int) -> bool:
    """Whether it has, or waits for, a processor or a disk."""
    return _status(pid)[0] in (b"R", b"D")


def listed() -> list[int]:
    """Every process there is."""
    return [int(name) for name in _listdir("/proc") if name.isdecimal()]


def newest_pid() -> int:
    """The number that was given last, to a process or a thread; 0 if unknown."""
    load = _read("/proc/loadavg").split()
    return int(load[-1]) if load else 0


def _status(pid: int) -> tuple[bytes, int, int]:
    """The state of its first thread, its flags, and how many threads it has."""
    # The name before the state, in parentheses, may hold anything at all.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0], int(fields[6]), int(fields[17])) if fields else (b"", 0, 0)


def _listdir(path: str) -> list[str]:
    if not _HAS_PROC:
        return []
    try:
        return os.listdir(path)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _read(path: str) -> bytes:
    """The whole of a small file, or nothing: the process may be gone by now."""
    if not _HAS_PROC:
        return b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return _nothing(error)
    try:
        data = more = os.read(fd, _CHUNK)
        while more:
            data += (more := os.read(fd, _CHUNK))
        return data
    except OSError:
        return b""
    finally:
        os.close(fd)


def _nothing(error: OSError) -> bytes:
    """It is not there; unless it is we that are short of descriptors (P16)."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
    return b""
