"""Time limits and child processes that live within a block.

They work the same on asyncio, uvloop and trio. See the README for a tour, and the
docstrings for the rest. ``within.testing`` is imported on its own.
"""

from ._clock import current_effective_deadline, current_time
from ._contexts import opening, running
from ._processes._errors import ProcessTimeout
from ._processes._plan import Stop
from ._processes._process import Process, process
from ._processes._run import run
from ._results import Completed
from ._timeouts import (
    DeadlineExceeded,
    Timeout,
    move_on_after,
    move_on_at,
    shield,
    timeout,
    timeout_at,
)

__all__ = [
    "Completed",
    "DeadlineExceeded",
    "Process",
    "ProcessTimeout",
    "Stop",
    "Timeout",
    "current_effective_deadline",
    "current_time",
    "move_on_after",
    "move_on_at",
    "opening",
    "process",
    "run",
    "running",
    "shield",
    "timeout",
    "timeout_at",
]

# Tracebacks, repr() and pickles give the module from which users import a name, not
# the private one that defines it.
for _name in __all__:
    globals()[_name].__module__ = __name__
