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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._protocol import Backend

    Running = Callable[[], Backend | None]

__all__ = ["current"]

_running_loop: Callable[[], Any] | None = None
_backend_of: Callable[[Any], Backend]
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
        loop = (_running_loop or _load_asyncio())()
        if loop is not None:
            return _backend_of(loop)
    raise RuntimeError(
        "no event loop is running here: call this from a coroutine that asyncio, "
        "uvloop or trio runs (asyncio.run(main()), trio.run(main))"
    )


def _load_asyncio() -> Callable[[], Any]:
    global _running_loop, _backend_of
    from ._asyncio import backend_of, running_loop

    _backend_of, _running_loop = backend_of, running_loop
    return running_loop


def _load_trio() -> Running:
    global _trio_running
    from ._trio import running

    _trio_running = running
    return running
