"""The public names. ``import within`` loads this module when one of them is first used."""

from __future__ import annotations

from .._results import Completed, Usage
from ._errors import OutputLimitExceeded, ProcessTimeout, ServerFailed
from ._incomplete import IncompleteOutput
from ._listening import listening
from ._open import process
from ._open_server import server
from ._options import (
    DEVNULL,
    PIPE,
    STDOUT,
    File,
    PopenOptions,
    ProcessOptions,
    Word,
)
from ._plan import Stop
from ._process import Process
from ._run import run
from ._server import Server

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Completed",
    "File",
    "IncompleteOutput",
    "OutputLimitExceeded",
    "PopenOptions",
    "Process",
    "ProcessOptions",
    "ProcessTimeout",
    "Server",
    "ServerFailed",
    "Stop",
    "Usage",
    "Word",
    "listening",
    "process",
    "run",
    "server",
]
