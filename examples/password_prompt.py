"""Answer the prompts of a program that insists on a terminal.

    python examples/password_prompt.py

Programs such as sudo, ssh and getpass() do not read a password from stdin. They open
``/dev/tty``, the terminal that controls them, and switch its echo off. So the command
gets a terminal of its own, and the answers are typed there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

import within
import within.testing

LIMIT = 30.0  # seconds for the whole dialogue
KEPT = 64 * 1024  # characters: the end of what the command shows is enough

# Asks on the terminal, whatever its stdin is, and says whether the answers were right.
PROGRAM = """
from getpass import getpass
user = input("User: ")
if getpass("Password: ") != "open sesame":
    raise SystemExit("Permission denied")
print(f"Welcome, {user}")
"""


class Refused(Exception):
    """The command has failed; the message is the end of what it has shown."""


def any_of(texts: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)))


async def dialogue(*command: str, answers: Mapping[str, str]) -> str:
    """Run ``command`` on a terminal, and return the end of what it has shown.

    Args:
        command: The program and its arguments.
        answers: What to type at which prompt. Each prompt is answered once, so that a
            wrong password is not given again and again.

    Raises:
        Refused: If the command fails.
        ValueError: If it shows more than ``KEPT`` characters before a prompt or in a line.
        within.DeadlineExceeded: If it takes too long, such as at an unknown prompt.
    """
    shown = ""
    unanswered = dict(answers)
    with within.timeout(LIMIT, name="dialogue"):
        async with within.process(
            *command, pty=True, errors="replace", max_line=KEPT
        ) as child:
            while unanswered:
                try:
                    shown += await child.read_until(any_of(unanswered))
                except within.IncompleteOutput as error:  # it has ended instead
                    shown += error.output
                    break
                prompt = next(p for p in unanswered if shown.endswith(p))
                await child.write(unanswered.pop(prompt) + "\n")
            async for line in child:
                shown = (shown + line)[-KEPT:]
            returncode = await child.wait()
    if returncode:
        raise Refused(shown)
    return shown


async def main() -> None:
    command = [sys.executable, "-c", PROGRAM]
    for password in ("open sesame", "12345"):
        answers = {"User: ": "ali", "Password: ": password}
        try:
            print(await dialogue(*command, answers=answers), end="")
        except Refused as error:
            print("refused:", str(error).splitlines()[-1])


if __name__ == "__main__":
    within.testing.run(main)
