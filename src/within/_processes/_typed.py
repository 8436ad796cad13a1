"""A command in a message, as one would type it into a shell."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def as_typed(args: Iterable[str | bytes]) -> str:
    """The command line, with quotes where a shell needs them.

    Bytes that are not text are shown escaped, so that the message can be printed.
    """
    line = shlex.join(map(os.fsdecode, args))
    return line.encode("utf-8", "backslashreplace").decode()
