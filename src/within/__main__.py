"""``python -m within``: the ``within`` command."""

from __future__ import annotations

from ._command_line import main, run

__all__ = ["main"]

if __name__ == "__main__":
    run()
