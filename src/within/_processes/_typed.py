"""How messages name a command, and how it ended."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def as_typed(args: Iterable[str | bytes]) -> str:
    """The command line as one would type it, with quotes where a shell needs them.

    Bytes that are not text are shown escaped, so that the message can be printed.
    """
    line = shlex.join(map(os.fsdecode, args))
    return line.encode("utf-8", "backslashreplace").decode()


def ending(returncode: int) -> str:
    """How a child ended, as the rest of a sentence about it."""
    if returncode < 0:
        return f"was ended by signal {-returncode}"
    return f"exited with status {returncode}"
