"""What the tests of processes have in common.

None of them waits on a delay: a test hears from its child through a pipe, and
learns that one is gone by asking the kernel for its number.
"""

from __future__ import annotations

import within
from within import Stop
from within._processes import _tree

FOREVER = "600"
QUICK = Stop(grace=0.05)


def alive(pid: int) -> bool:
    return _tree.is_alive(pid)


async def line(child: within.Process) -> str:
    async for found in child:
        return found.strip()
    raise EOFError


# One that starts two of its own, and tells the numbers of all three.
FAMILY = f"sleep {FOREVER} & echo $!; sleep {FOREVER} & echo $!; echo $$; wait"


async def family(child: within.Process) -> list[int]:
    return [int(await line(child)) for _ in range(3)]
