"""Access to anyio's cancel scopes, if there can be any."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncio import Task
    from weakref import ref

# The module whose import shows that there may be scopes.
ANYIO = "anyio._backends._asyncio"


class Scopes(Protocol):
    """What the module ``_anyio`` offers."""

    def state_of(self, task: ref[Task[Any]]) -> Any: ...

    def innermost(self, task: Task[Any]) -> Any: ...

    def is_shielded(self, task: Task[Any], outer: Any) -> bool: ...

    def shield(self) -> Any: ...

    def abandon(self, task: Task[Any], scope: Any) -> None: ...

    def claim(self, task: Task[Any], exc: BaseException) -> bool: ...

    def current_effective_deadline(self) -> float: ...


_loaded: Scopes | None = None


def anyio_scopes() -> Scopes | None:
    """anyio's scopes; ``None`` as long as anyio has not been used on asyncio."""
    global _loaded
    if _loaded is None and ANYIO in sys.modules:
        from . import _anyio

        _loaded = _anyio
    return _loaded
