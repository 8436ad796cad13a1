"""A dialogue with an interactive program: here, a Python interpreter that keeps its state.

    python examples/repl.py

Each line is answered by what it prints. A line that takes too long is interrupted, as with
Ctrl-C at a terminal, and the session goes on. If the interpreter exits, the error says how
and shows what it has printed. It works the same on every loop.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

import within
import within.testing

PROMPT = "<<ready>>\n"  # a line that no answer contains
PYTHON = (sys.executable, "-i", "-q", "-c", f"import sys; sys.ps1 = {PROMPT!r}")
PATIENCE = 5  # seconds that an interrupted line has to end
# The first of these lines may fall victim to the interrupt. The other one prints AWAKE.
WAKE, AWAKE = "pass\nprint('<<' 'awake>>')\n", f"<<awake>>\n{PROMPT}"


class Repl:
    """An interpreter that runs one line after another; use :meth:`start` to create one."""

    def __init__(self, process: within.Process) -> None:
        self._process = process
        self._turn = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Repl]:
        """Start an interpreter that does not outlive the block."""
        async with within.process(*PYTHON, stderr=within.STDOUT) as process:
            with within.timeout(30, name="start of the interpreter"):
                await process.read_until(PROMPT)
            yield cls(process)

    async def run(self, line: str, *, timeout: float | None = None) -> str:
        """Run a line, and return what it prints; several tasks take turns.

        Raises:
            DeadlineExceeded: If ``timeout`` seconds pass first. The line is interrupted.
            IncompleteOutput: If the interpreter exits.
        """
        async with self._turn:
            try:
                with within.timeout(timeout, name=line):
                    await self._process.write(line + "\n")
                    answer = await self._process.read_until(PROMPT)
            except within.IncompleteOutput:
                raise
            except BaseException:  # our limit, or a cancellation from outside
                await self._interrupt()
                raise
        return answer.removesuffix(PROMPT)

    async def _interrupt(self) -> None:
        """End the line that runs, so that the next one does not get its answer."""
        self._process.send_signal(signal.SIGINT)
        with within.move_on_after(PATIENCE, shield=True) as limit:
            # The line may just have ended by itself. Then the interrupt has a prompt of its
            # own, or hits the next line, so reading until the next prompt is not enough.
            with suppress(anyio.BrokenResourceError):  # the interpreter has exited
                await self._process.write(WAKE)
            await self._process.read_until(AWAKE)
        if limit.expired:  # the line ignores Ctrl-C
            self._process.kill()


async def main() -> None:
    async with Repl.start() as repl:
        await repl.run("x = 6")
        print("x * 7 =", await repl.run("x * 7"), end="")
        print("error:", (await repl.run("1 / 0")).splitlines()[-1])
        try:
            await repl.run("while True: pass", timeout=0.2)
        except within.DeadlineExceeded as error:
            print("interrupted:", error.scope.name)
        print("x is still", await repl.run("x"), end="")
        try:
            # After a Ctrl-C, exit(3) would end it by SIGINT since CPython 3.14.
            await repl.run("import os; print('good night', flush=True); os._exit(3)")
        except within.IncompleteOutput as error:
            print(f"exited with {error.returncode}:", error.output, end="")


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
