"""The ``within`` command: options, the supervision of one command, the terminal."""

from __future__ import annotations

from ._main import main, run

__all__ = ["main", "run"]
