"""What the command line prints on standard error."""

from __future__ import annotations

import os
from contextlib import suppress

from .._processes._tty import unstopped


def say(message: object) -> None:
    """Print one line on stderr; a stderr that is closed or full changes nothing."""
    with unstopped(), suppress(OSError):
        os.write(2, f"within: {message}\n".encode(errors="backslashreplace"))
