"""Who belongs to a child: the members of its group, the bearers of its mark.

A group is signalled whole and atomically by the kernel, so nothing here is
needed for that; it is needed to learn when everybody is gone, and to reach who
has left the group (P7). Both read ``/proc``, which only Linux has in this form;
elsewhere nobody is found, and a group's death is not waited for.
"""

from __future__ import annotations

import os
import sys

_HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/stat")

# Up to this many processes (and threads) born since the child, each is asked in
# turn; beyond, the listing of /proc is shorter.
_FEW_BIRTHS = 500


def group_members(pgid: int, *, young: bool) -> list[int]:
    """The living processes of a group, whose leader is not reaped.

    ``young`` says that it was started a moment ago, so that the numbers cannot
    have gone full circle since.
    """
    if not _HAS_PROC:
        return []
    return [
        pid
        for pid in _candidates(pgid, young)
        if group_of(pid) == pgid and is_alive(pid)
    ]


def marked(mark: str) -> list[int]:
    """The living processes that inherited ``mark`` in their environment (P7)."""
    if not _HAS_PROC:
        return []
    return [pid for pid in _listed() if bears(pid, mark) and is_alive(pid)]


def bears(pid: int, mark: str) -> bool:
    """Whether one process inherited ``mark``."""
    return f"\0{mark}=".encode() in b"\0" + _read(f"/proc/{pid}/environ")


def group_of(pid: int) -> int:
    """The process group of a process; -1 if it is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def is_alive(pid: int) -> bool:
    """False for a zombie: it is dead, though its parent has not said so."""
    # The name before the state, in parentheses, may hold anything at all.
    state = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return bool(state) and state[0] not in (b"Z", b"X")


def _candidates(leader: int, young: bool) -> range | list[int]:
    # Whoever is in the group was born after its leader, and numbers are given
    # out in order. The last one given stands in /proc/loadavg: for a short
    # command, the list to go through is a handful and not the whole machine.
    load = _read("/proc/loadavg").split() if young else []
    newest = int(load[-1]) if load else 0
    if leader <= newest <= leader + _FEW_BIRTHS:
        return range(leader, newest + 1)
    return _listed()


def _listed() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _read(path: str) -> bytes:
    """The whole of a small file, or nothing: the process may be gone by now."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
