"""Time limits and child processes that live within a block.

They work in the same way on asyncio, uvloop and trio. The README gives a tour, and the
docstrings explain the rest. Import ``within.testing`` separately.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ._clock import current_effective_deadline, current_time
from ._contexts import Opening, opening, running
from ._processes._errors import OutputLimitExceeded, ProcessTimeout, ServerFailed
from ._processes._incomplete import IncompleteOutput
from ._processes._listening import listening
from ._processes._open import process
from ._processes._open_server import server
from ._processes._options import (
    DEVNULL,
    PIPE,
    STDOUT,
    File,
    PopenOptions,
    ProcessOptions,
    Word,
)
from ._processes._plan import Stop
from ._processes._process import Process
from ._processes._run import run
from ._processes._server import Server
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

if _TYPE_CHECKING:
    from ._processes._streams import ReceiveStream, SendStream

    __version__: str

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Completed",
    "DeadlineExceeded",
    "File",
    "IncompleteOutput",
    "Opening",
    "OutputLimitExceeded",
    "PopenOptions",
    "Process",
    "ProcessOptions",
    "ProcessTimeout",
    "ReceiveStream",
    "SendStream",
    "Server",
    "ServerFailed",
    "Stop",
    "Timeout",
    "Usage",
    "Word",
    "current_effective_deadline",
    "current_time",
    "listening",
    "move_on_after",
    "move_on_at",
    "opening",
    "process",
    "run",
    "running",
    "server",
    "shield",
    "timeout",
    "timeout_at",
]

# Not for type checkers: they would take every misspelt name for one of these.
if not _TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Their base classes are anyio's, which is imported when a process is opened.
        if name in ("ReceiveStream", "SendStream"):
            from ._processes import _streams

            return getattr(_streams, name)
        if name == "__version__":  # this import takes as long as all of this package
            from importlib.metadata import version

            return version(__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Tracebacks, repr() and pickles give the module from which users import a name, not
# the private one that defines it.
for _name in __all__:
    if isinstance(globals().get(_name), type) or callable(globals().get(_name)):
        globals()[_name].__module__ = __name__
