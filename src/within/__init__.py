"""Time limits and child processes that live within a block.

They work in the same way on asyncio, uvloop and trio. The README gives a tour, and the
docstrings explain the rest. Import ``within.testing`` separately.

A number in parentheses in a docstring, such as (T4), names a rule. The page "Semantics" of
the documentation (``docs/semantics.md``) states every rule and has an index of all of them.
All times are in seconds, and all sizes in bytes, unless a docstring says otherwise.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ._clock import current_effective_deadline, current_time
from ._contexts import Opening, opening, running
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
    from ._processes._public import (
        DEVNULL,
        PIPE,
        STDOUT,
        Completed,
        File,
        IncompleteOutput,
        OutputLimitExceeded,
        PopenOptions,
        Process,
        ProcessOptions,
        ProcessTimeout,
        Server,
        ServerFailed,
        Stop,
        Usage,
        Word,
        listening,
        process,
        run,
        server,
    )
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


def _publish(names: dict[str, object]) -> None:
    """Make public what is in ``__all__``.

    Tracebacks, repr() and pickles give the module from which users import a name, not
    the private one that defines it.
    """
    for name in set(__all__).intersection(names):
        found = names[name]
        if isinstance(found, type) or callable(found):
            found.__module__ = __name__
        globals().setdefault(name, found)


_publish(globals())

# Not for type checkers: with it, they would accept every misspelt name.
if not _TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Their base classes are anyio's, which is imported when a process is opened.
        if name in ("ReceiveStream", "SendStream"):
            from ._processes import _streams

            return getattr(_streams, name)
        # A program that only limits time needs none of the others, and importing them
        # takes twice as long as all the rest.
        if name in __all__:
            from ._processes import _public

            _publish(_public.__dict__)
            # Not from globals(): a signal handler may get here while its thread is in the
            # midst of this import, and an AttributeError is what hasattr() expects.
            return getattr(_public, name)
        if name == "__version__":  # this import takes as long as all of this package
            from importlib.metadata import version

            return version(__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
