"""A tool that lets an agent run shell commands.

    python examples/agent_shell.py

You see the output while it comes. The model gets the last 64 KiB of it, and is told how
the command ended and how much is missing. By then, everything that the command
started is gone, even what it left in the background. It works the same on every loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import within
import within.testing

KEPT = 64 * 1024  # bytes
STOP = within.Stop(grace=1, tree="all")


async def shell(command: str, seconds: float, show: Callable[[str], object]) -> str:
    """Run a shell command for at most ``seconds``, and return what the model reads.

    ``show`` is called with each line as it comes.
    """
    words = ("sh", "-c", command)
    result: within.Completed[str] | within.ProcessTimeout[Any]
    try:
        result = await within.run(
            *words,
            timeout=seconds,
            check=False,
            errors="replace",  # implies text
            stderr=within.STDOUT,  # in the order in which they are written
            on_output=lambda source, line: show(line),
            max_output=KEPT,
            keep="tail",
            stop=STOP,
            start_new_session=True,  # detaches it from our terminal
        )
        how = f"exited with status {result.returncode}"
    except within.ProcessTimeout as error:
        result, how = error, f"was stopped after {seconds:g} s"
    report = f"The command {how}.\n"
    if result.dropped:
        report += f"Its output without the first {result.dropped} bytes:\n"
    elif result.stdout:
        report += "Its output:\n"
    return report + (result.stdout or "")


async def main() -> None:
    for command in (
        "echo compiling; echo 'no such file' >&2; exit 2",
        "echo serving; sleep 600 & sleep 600",
        "seq 100000",
    ):
        shown: list[str] = []
        report = await shell(command, 0.5, shown.append)
        lines = report.splitlines()
        print(f"$ {command}\n({len(shown)} lines shown)")
        print("\n".join(lines if len(lines) < 10 else [*lines[:3], "…", lines[-1]]))


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
