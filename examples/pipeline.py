"""A pipeline of any number of stages, in which no failure goes unnoticed.

    python examples/pipeline.py

The stages are connected as in a shell: the data does not pass through this program.
Unlike in a shell, a stage that fails is an error that names it and shows the end of its
stderr, whichever stage it is. It works the same on every loop.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack

import anyio

import within
import within.testing

MAX_STDERR = 2000  # how many bytes from the end of each stderr to keep

Process = within.Process[
    within.SendStream | None, within.ReceiveStream, within.ReceiveStream
]


class StageFailed(Exception):
    """A stage has failed; the message says which one and how."""


class Stage:
    """One command of a pipeline."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.stderr = b""  # the last MAX_STDERR bytes

    async def read_stderr(self) -> None:
        """Read it to its end, so that it cannot block the stage."""
        async for data in self.process.stderr:
            self.stderr = (self.stderr + data)[-MAX_STDERR:]

    async def check(self) -> None:
        """Wait for its exit, and raise an error unless it has succeeded."""
        status = await self.process.wait()
        # The next stage may have had enough: this is how a writer ends then.
        if status not in (0, -signal.SIGPIPE):
            command = " ".join(map(str, self.process.args))
            says = self.stderr.decode(errors="replace").strip()
            raise StageFailed(f"`{command}` has failed with status {status}: {says}")


async def pipeline(*commands: Sequence[str], encoding: str = "utf-8") -> str:
    """Connect the commands, and return the output of the last one.

    Raises:
        StageFailed: For the first stage that has failed.
    """
    stages: list[Stage] = []
    source: within.File = within.DEVNULL
    async with AsyncExitStack() as stack:
        for command in commands:
            opened = within.process(
                *command, stdin=source, stderr=within.PIPE, encoding=encoding
            )
            process = await stack.enter_async_context(opened)
            stages.append(Stage(process))
            source = process.stdout
        async with anyio.create_task_group() as tasks:
            for stage in stages:
                tasks.start_soon(stage.read_stderr)
            output = await stages[-1].process.read()
        for stage in stages:
            await stage.check()
    return output


async def main() -> None:
    fruit = ["printf", "pear\\nfig\\napple\\nfig\\n"]
    print(await pipeline(fruit, ["sort"], ["uniq"]), end="")
    print(await pipeline(["yes"], ["head", "-n", "1"], ["tr", "y", "Y"]), end="")
    broken = ["sh", "-c", "cat; echo out of ink >&2; exit 3"]
    try:
        await pipeline(fruit, broken, ["sort"])
    except StageFailed as error:
        print(error)


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
