"""Which loop is running? The choice between the backends, and nothing else.

Neither loop is imported for the asking: a loop that nobody has imported is not
running. Where both are, one runs inside the other:

- trio's guest mode inside asyncio: trio's steps are callbacks of the host's
  loop, in which no asyncio task is current;
- trio-asyncio: the asyncio loop runs inside a trio task, and switches the mark
  that says so for each callback;
- ``trio.run()`` called in an asyncio task (a notebook cell), or the reverse:
  both have a current task, and the inner one is nearer on the stack.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._protocol import Backend

    Running = Callable[[], Backend | None]

__all__ = ["current"]

_asyncio_running: Running | None = None
_trio_running: Running | None = None


def current() -> Backend:
    """The backend of the loop that runs the caller, or :exc:`RuntimeError`."""
    # trio is asked first: its answer is the cheaper one, and already takes
    # account of an asyncio task that is nearer than trio's own.
    modules = sys.modules
    if "trio" in modules:
        found = (_trio_running or _load_trio())()
        if found is not None:
            return found
    if "asyncio" in modules:
        found = (_asyncio_running or _load_asyncio())()
        if found is not None:
            return found
    raise RuntimeError(
        "no event loop is running here: call this from a coroutine that asyncio, "
        "uvloop or trio runs (asyncio.run(main()), trio.run(main))"
    )


def _load_asyncio() -> Running:
    global _asyncio_running
    from ._asyncio import running

    _asyncio_running = running
    return running


def _load_trio() -> Running:
    global _trio_running
    from ._trio import running

    _trio_running = running
    return running
