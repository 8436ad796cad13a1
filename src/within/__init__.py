"""Time limits and child processes that live within a block.

They work the same on asyncio, uvloop and trio. See the README for a tour, and the
docstrings for the rest. ``within.testing`` is imported on its own.
"""

from typing import TYPE_CHECKING

from ._clock import current_effective_deadline, current_time
from ._contexts import opening, running
from ._processes._errors import OutputLimitExceeded, ProcessTimeout
from ._processes._plan import Stop
from ._processes._process import Process, process
from ._processes._run import run
from ._results import Completed, Usage
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
    "OutputLimitExceeded",
    "Process",
    "ProcessTimeout",
    "Stop",
    "Timeout",
    "Usage",
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

if TYPE_CHECKING:
    __version__: str
else:  # a type checker would take every misspelt name for one that this returns

    def __getattr__(name):
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Loaded on demand: it takes as long as all of this package.
        from importlib.metadata import version

        return version(__name__)
