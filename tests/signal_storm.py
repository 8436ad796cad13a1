"""A program: signals whose handler raises, at any moment of entering and leaving blocks.

Called with a loop, a form ("with" or "async with") and a number of signals. Prints how
many blocks stayed open, and how many signals came in our own code.
"""

from __future__ import annotations

import math
import random
import signal
import sys
from types import FrameType
from typing import Any

import anyio

import within
from within.testing import run


class Boom(BaseException):
    """What the handler raises."""


class Storm:
    def __init__(self) -> None:
        self.is_armed = False
        self.inside = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        if not self.is_armed:
            return
        name = ""
        while frame is not None and not name.startswith(
            ("trio.", "within._", "__main")
        ):
            name = frame.f_globals.get("__name__", "")
            frame = frame.f_back
        self.is_armed = False
        if name.startswith("trio."):
            # trio protects itself from Ctrl-C alone. Another handler that raises in its
            # code can break its state, with a block of ours or without one.
            return
        self.inside += name.startswith("within._")
        raise Boom

    async def blow(self, form: str, signals: int) -> int:
        """How many blocks stayed open."""
        signal.signal(signal.SIGALRM, self.handle)
        left_open = 0
        for _ in range(signals):
            self.is_armed = True
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(5e-6, 2e-4))
                await self.enter_and_leave(form)
            except Boom:
                pass
            left_open += within.current_effective_deadline() != math.inf
        with within.move_on_after(0) as limit:
            await anyio.sleep(60)
        assert limit.cancelled_caught
        return left_open

    async def enter_and_leave(self, form: str) -> None:
        if form == "with":
            while self.is_armed:
                with within.timeout(60):
                    pass
        else:
            while self.is_armed:
                async with within.timeout(60):
                    pass


async def main(form: str, signals: int) -> tuple[int, int]:
    storm = Storm()
    return await storm.blow(form, signals), storm.inside


if __name__ == "__main__":
    loop, form, signals = sys.argv[1:]
    found: Any = run(main, form, int(signals), backend=loop)
    sys.stdout.write(f"{found[0]} {found[1]}")
