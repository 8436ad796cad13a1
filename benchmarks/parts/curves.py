"""Some figures at growing sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from . import many_timeouts, processes
from .environment import LOOPS, is_installed
from .measuring import Curve


def curves(*, quick: bool) -> Iterator[Curve]:
    many = [1, 10] if quick else [1, 10, 100, 1_000, 10_000, 100_000]
    some = [1, 5] if quick else [1, 3, 10, 30, 100, 300, 1_000]
    sizes = [2**10, 2**15] if quick else [2**power for power in range(10, 31, 2)]
    for loop in filter(is_installed, LOOPS):
        yield Curve(
            loop,
            "one timeout, entered and left while others are open",
            "open timeouts",
            {n: many_timeouts.one_more(loop, n, _rounds(n, 100_000)) for n in many},
        )
        yield Curve(
            loop,
            "timeouts open at once, each in a task: one, over none",
            "open timeouts",
            {n: many_timeouts.open_at_once(loop, n, _rounds(n, 100_000)) for n in many},
        )
        if os.name != "posix":
            continue
        from . import many_children  # which needs a POSIX system

        yield many_children.curve(loop, some, _rounds)
        yield Curve(
            loop,
            "output of a child, captured",
            "bytes",
            {n: processes.output(loop, n, _rounds(n, 2**28)) for n in sizes},
        )


def _rounds(size: int, large: int) -> int:
    """Fewer rounds for large sizes, which take long."""
    return 3 if size >= large else 5 if size >= large // 10 else 15
