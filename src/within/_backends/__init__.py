"""The choice of the backend: which event loop runs the caller?

The room of a loop is loaded once the loop's library has been imported; a loop whose
library has not been imported is not running. Two loops may be running in one thread,
one inside the other:

- in trio's guest mode on asyncio, trio's steps are callbacks of the host loop, and no
  asyncio task is current during them;
- in trio-asyncio, the asyncio loop runs inside a trio task. It switches trio's mark of
  a running loop for each callback;
- if ``trio.run()`` is called in an asyncio task (a notebook cell), or the reverse, both
  loops have a current task, and the inner one is nearer on the stack.
"""

from __future__ import annotations

import sys
from importlib import import_module
from sys import modules
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from ._protocol import Backend, Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Backend", "Room", "current", "register"]

# Keyed by the library that is imported if the loop may be running. All three keep the
# order of registration, and are replaced rather than changed: other threads read them.
_registered: dict[str, str] = {}
_not_loaded: tuple[str, ...] = ()
_loaded: dict[str, Room] = {}
_lock = Lock()
_finders: tuple[Callable[[], Any], ...] = ()  # running_loop() of each


def register(library: str, room: str) -> None:
    """Add a backend for another event loop.

    Args:
        library: The module whose import shows that the loop may be running.
        room: The module that offers what :class:`Room` lists. It is imported after the
            library, never before it.
    """
    global _not_loaded
    with _lock:
        _registered[library] = room
        _not_loaded = (*_not_loaded, library)


def current() -> Backend:
    """The backend of the loop that runs the caller.

    Raises:
        RuntimeError: If no event loop is running.
    """
    # Every block comes through here, so the ordinary case is one function.
    for library in _not_loaded:
        if library in modules:
            _load(library)
    found: Any = None
    for running_loop in _finders:
        loop = running_loop()
        if loop is not None:
            if found is not None:
                return _innermost()
            found = loop
    try:
        backend: Backend = found._within_backend
    except AttributeError:
        if found is None:
            raise RuntimeError(
                "no event loop is running here: call this from a coroutine that asyncio, "
                "uvloop or trio runs (asyncio.run(main()), trio.run(main))"
            ) from None
        backend = _innermost()
    return backend


def _load(library: str) -> None:
    global _not_loaded, _finders
    if not modules.get(library):  # None marks it as not importable
        return
    room = cast("Room", import_module(_registered[library]))
    with _lock:
        _loaded[library] = room
        _finders = tuple(room.running_loop for room in _rooms())
        _not_loaded = tuple(name for name in _registered if name not in _loaded)


def _rooms() -> list[Room]:
    return [_loaded[library] for library in _registered if library in _loaded]


def _innermost() -> Backend:
    """Of the running loops, the backend of the one whose task is nearest on the stack.

    If the stack does not tell, this is the loop that was registered last: when trio is a
    guest of asyncio, asyncio's loop runs all the time, and trio only during its steps.
    """
    running = [
        (room.backend_of(loop), room.running_frame())
        for room in _rooms()
        if (loop := room.running_loop()) is not None
    ]
    last, its_frame = running[-1]
    python: Any = sys  # type checkers take `_getframe` for private
    frame: FrameType | None = None if its_frame is None else python._getframe()
    while frame is not None:
        for backend, tasks_frame in running:
            if tasks_frame is frame:
                return backend
        frame = frame.f_back
    return last


register("asyncio", f"{__name__}._asyncio")
register("trio", f"{__name__}._trio")
