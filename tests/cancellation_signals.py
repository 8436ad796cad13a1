"""Interrupts a scenario at its first, second, … n-th bytecode, as a signal handler
that raises does (P14).

Only bytecodes of this package's processes count; what a loop does with an exception
that comes out of its own code is the loop's business. Tracing can raise before every
single bytecode, where CPython itself runs handlers only before some of them.
"""

from __future__ import annotations

import dis
import gc
import os
import select
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, Self

from anyio.lowlevel import checkpoint
from cancellation_leaks import nothing_left, outside
from children import FINDS_MEMBERS

import within
from within import testing
from within._processes._posix._census import census
from within._processes._posix._foreground import foreground
from within._processes._posix._guard import guard

# Where the bytecodes are counted.
ROOM = str(Path(within.__file__).parent / "_processes")


# A bytecode that no scenario reaches.
NEVER = 1 << 60

# A task goes on through these to where it was suspended; no handler runs before that.
_ATOMIC = {
    dis.opmap[name]
    for name in ("RESUME", "SEND", "YIELD_VALUE", "JUMP_BACKWARD_NO_INTERRUPT")
}


class Interrupted(KeyboardInterrupt):
    """What the handler raises. Loops pass it on as they do a Ctrl-C."""


class Interruption:
    """Raises at the ``at``-th bytecode, out of a real signal handler."""

    def __init__(self, at: int) -> None:
        self.passed = 0
        self.where = ""
        self._at = at

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._handle)
        sys.settrace(self._trace_calls)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)
        signal.signal(signal.SIGUSR1, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted

    def _trace_calls(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] not in _ATOMIC:
            self.passed += 1
            if self.passed == self._at:
                code = frame.f_code
                place = f"{Path(code.co_filename).name}:{frame.f_lineno}"
                self.where = f"{place} {code.co_qualname} at {frame.f_lasti}"
                signal.raise_signal(signal.SIGUSR1)
        return self._trace


def interrupted(scenario: Any, loop: str, at: int) -> tuple[Interruption, list[str]]:
    """One run that is interrupted there, and all that is wrong with what it left."""
    problems: list[str] = []
    alive, held = os.pipe()

    async def main() -> None:
        await scenario(pass_fds=[held])

    with nothing_left(problems, outside), Interruption(at) as interruption:
        _run(main, loop, problems)
        sys.settrace(None)
        gc.collect()
    _release_locks()
    os.close(held)
    os.set_blocking(alive, False)
    if not FINDS_MEMBERS:
        # The group was killed, and nothing has waited until it is gone.
        select.select([alive], [], [], 3)
    try:
        os.read(alive, 1)
    except BlockingIOError:
        problems.append("a process of the child's tree is alive")
    os.close(alive)
    return interruption, problems


def _release_locks() -> None:
    """Release what a `with` could not.

    The tracer raises between the body of a `with` and the call of `__exit__`, too. CPython
    handles no signal there. Another thread would wait for the lock forever.
    """
    for owner in (census, foreground, guard):
        lock: Any = owner._lock
        while lock._is_owned():
            lock.release()


def _run(main: Any, loop: str, problems: list[str]) -> None:
    """Whatever else is raised stays here, with all the frames that it holds."""
    with warnings.catch_warnings():
        # A child that is dropped in the middle of its start is killed, and says so.
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        hook, sys.unraisablehook = sys.unraisablehook, lambda args: None
        try:
            testing.run(main, backend=loop)
        except BaseException as exc:
            if not _is_interruption(exc):
                problems.append(f"{exc!r} in place of the interruption")
        finally:
            gc.collect()
            sys.unraisablehook = hook


def _is_interruption(exc: BaseException) -> bool:
    seen: set[int] = set()
    found: BaseException | None = exc
    while found is not None and id(found) not in seen:
        if isinstance(found, Interrupted):
            return True
        if isinstance(found, BaseExceptionGroup):
            return any(map(_is_interruption, found.exceptions))
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return False


def sweep(scenario: Any, loop: str, *, runs: int) -> tuple[int, list[str]]:
    """Interrupt it at so many of its bytecodes: how often, and what was wrong."""
    testing.run(checkpoint, backend=loop)  # what the first loop of its kind keeps
    gc.collect()
    gc.freeze()  # the collections after the runs then skip what is older
    interrupted(scenario, loop, NEVER)  # CPython 3.12+ traces no opcode at first
    # On a busy machine a scenario may take a longer way, which few of the runs take again.
    whole = [interrupted(scenario, loop, NEVER) for _ in range(3)]
    leaks = [problem for _, problems in whole for problem in problems]
    bytecodes = min(interruption.passed for interruption, _ in whole)
    count = 0
    for at in range(1, bytecodes, max(1, bytecodes // runs)):
        interruption, problems = interrupted(scenario, loop, at)
        place = f"{scenario.__name__}, {loop}, {at} in {interruption.where}: "
        leaks += [place + problem for problem in problems]
        count += interruption.passed >= at  # else it took a shorter way
    return count, leaks
