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
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._protocol import Backend

__all__ = ["current"]

# The module that knows the loop, once somebody has imported the loop.
_for_asyncio: Any = None
_for_trio: Any = None


def current() -> Backend:
    """The backend of the loop that runs the caller, or :exc:`RuntimeError`."""
    # Every block comes by here, hence one function and not one for each loop.
    if not _for_asyncio and sys.modules.get("asyncio"):
        _load_asyncio()
    if not _for_trio and sys.modules.get("trio"):  # None: it is said to be missing
        _load_trio()
    # By asyncio's module: trio-asyncio replaces it there.
    loop = _for_asyncio and _for_asyncio.asyncio._get_running_loop()
    if (
        _for_trio
        and _for_trio.mark.name == "trio"
        and (loop is None or _for_trio.is_nearer(_for_asyncio.current_frame()))
    ):
        return cast("Backend", _for_trio.backend)
    if loop is not None:
        try:
            return cast("Backend", loop._within_backend)
        except AttributeError:
            return cast("Backend", _for_asyncio.backend_of(loop))
    raise RuntimeError(
        "no event loop is running here: call this from a coroutine that asyncio, "
        "uvloop or trio runs (asyncio.run(main()), trio.run(main))"
    )


def _load_asyncio() -> None:
    global _for_asyncio
    from . import _asyncio

    _for_asyncio = _asyncio


def _load_trio() -> None:
    global _for_trio
    from . import _trio

    _for_trio = _trio
