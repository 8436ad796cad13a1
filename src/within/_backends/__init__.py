"""The choice of the backend: which event loop runs the caller?

The module of a loop is loaded once the loop's library has been imported; a loop whose
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
from functools import partial
from importlib import import_module
from sys import modules
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from ._protocol import Backend, LoopModule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    Finder = Callable[[], Any]

__all__ = ["Backend", "LoopModule", "current", "register"]

# Keyed by the library whose import shows that the loop may be running. Both keep the
# order of registration.
_registered: dict[str, str] = {}
_loaded: dict[str, LoopModule] = {}
_lock = Lock()

# Each finds a running loop. Every block calls both, and a loop over a tuple of finders
# would take longer than the finders themselves.
_find_first: Finder
_find_other: Finder


def register(library: str, module: str) -> None:
    """Add a backend for another event loop.

    Args:
        library: The module whose import shows that the loop may be running.
        module: The name of a module that has what :class:`LoopModule` lists. It is
            imported after the library, never before it.
    """
    with _lock:
        _registered[library] = module
        _bind_finders()


def current() -> Backend:
    """The backend of the loop that runs the caller.

    Raises:
        RuntimeError: If no event loop is running.
    """
    # Every block comes through here, so the ordinary case is one function: a single
    # loop is running, and it has its backend already.
    loop, other = _find_first(), _find_other()
    backend: Backend
    try:
        if other is None:
            backend = loop._within_backend
            return backend
        if loop is None:
            backend = other._within_backend
            return backend
    except AttributeError:
        pass
    return _choose()


def _choose() -> Backend:
    """What :func:`current` returns in all other cases.

    Of several running loops, this is the one whose task is nearest on the stack. If the
    stack does not tell, it is the one that was registered last: when trio is a guest of
    asyncio, asyncio's loop runs all the time, and trio only during its steps.
    """
    libraries = list(_registered)  # another thread may register one meanwhile
    for library in libraries:
        # None marks a library as not importable.
        if library not in _loaded and modules.get(library) is not None:
            _load(library)
    running = [
        (module.backend_of(loop), module.running_frame())
        for library in libraries
        if (module := _loaded.get(library)) is not None
        and (loop := module.running_loop()) is not None
    ]
    if not running:
        raise RuntimeError(
            "no event loop is running here: call this from a coroutine that asyncio, "
            "uvloop or trio runs (asyncio.run(main()), trio.run(main))"
        )
    last, its_frame = running[-1]
    python: Any = sys  # type checkers take `_getframe` for private
    frame: FrameType | None = None if its_frame is None else python._getframe()
    while frame is not None:
        for backend, tasks_frame in running:
            if tasks_frame is frame:
                return backend
        frame = frame.f_back
    return last


def _load(library: str) -> None:
    module = cast("LoopModule", import_module(_registered[library]))
    with _lock:
        _loaded[library] = module
        _bind_finders()


def _bind_finders() -> None:
    global _find_first, _find_other
    _find_first, *others = map(_finder, _registered)
    # Usually only trio's.
    _find_other = others[0] if len(others) == 1 else partial(_find_any, others)


def _finder(library: str) -> Finder:
    """The function that finds the running loop of ``library``.

    Until the module of the loop is loaded, this finds the library itself, as soon as
    it has been imported. A library has no backend, so :func:`_choose` loads the module.
    """
    module = _loaded.get(library)
    return partial(modules.get, library) if module is None else module.running_loop


def _find_any(finders: Sequence[Finder]) -> Any:
    """A running loop; if there are several, a list, which has no backend."""
    running = [loop for find in finders if (loop := find()) is not None]
    return running[0] if len(running) == 1 else running or None


register("asyncio", f"{__name__}._asyncio")
register("trio", f"{__name__}._trio")
