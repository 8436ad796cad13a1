"""The mark by which a whole tree is found, wherever its members have gone (P7).

A child inherits two things that its programs hardly ever touch: a variable in its
environment, and an odd value of a resource limit that limits nothing. A daemon that
sets its process title overwrites its environment, as the kernel shows it, and some
programs clear it; they still have the limit. A process that changes the limit still
has the variable.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_PREFIX = "WITHIN_TREE_"

# RLIMIT_RTTIME counts microseconds of a process with real-time scheduling. From here
# on, a value is more than a hundred thousand years, and marks one of our trees.
_LEAST = 1 << 62
_LIMIT = b"Max realtime timeout"


def new_mark() -> str:
    """The name of a variable. Nested trees have one each, and inherit both."""
    return f"{_PREFIX}{os.urandom(8).hex()}"


def marked(env: Mapping[Any, Any] | None, mark: str) -> dict[Any, Any]:
    """The environment of a child that carries ``mark``."""
    return {**(os.environ if env is None else env), mark: "1"}


def mark_limits(pid: int, mark: str) -> None:
    """Mark the limits of a process, where the system lets us."""
    which = getattr(resource, "RLIMIT_RTTIME", None)  # Linux
    if which is None:
        return
    with suppress(OSError):  # another user's, or gone
        old = resource.prlimit(pid, which)
        unlimited = resource.RLIM_INFINITY
        if _number(mark) in old:
            return
        values = [_number(mark), *(value for value in old if value >= _LEAST)][:2]
        if unlimited in old and len(values) == 1:
            resource.prlimit(pid, which, (values[0], unlimited))
        elif unlimited in old:  # an inherited mark is kept with the new one
            resource.prlimit(pid, which, (min(values), max(values)))


def is_in_environment(mark: str, environ: bytes) -> bool:
    """Whether ``environ``, as in /proc, has the variable."""
    return f"\0{mark}=".encode() in b"\0" + environ


def limit_of(pid: int) -> tuple[int, ...]:
    """Both values of the limit that is marked.

    Raises:
        OSError: If the process is gone, or is another user's.
        AttributeError: On other systems than Linux.
    """
    return resource.prlimit(pid, resource.RLIMIT_RTTIME)


def limit_in(limits: bytes) -> tuple[int, ...]:
    """The same from the ``limits`` file of a process in /proc."""
    values = limits.partition(_LIMIT)[2].partition(b"\n")[0].split()
    return tuple(int(value) for value in values if value.isdigit())


def is_in_limit(mark: str, limit: Collection[int]) -> bool:
    """Whether ``limit`` has the odd value."""
    return _number(mark) in limit


def found_in(marks: Iterable[str], environ: bytes, limit: Collection[int]) -> list[str]:
    """Those of ``marks`` that one process carries."""
    if _PREFIX.encode() not in environ and max(limit, default=0) < _LEAST:
        return []
    return [
        mark
        for mark in marks
        if is_in_environment(mark, environ) or is_in_limit(mark, limit)
    ]


def _number(mark: str) -> int:
    return _LEAST | int(mark.removeprefix(_PREFIX), 16) >> 3
