"""``python -m within``: the ``within`` command."""

from __future__ import annotations

import sys

from ._command_line import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
