"""The asyncio loop that runs the caller, and its backend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._backend import AsyncioBackend
from ._waiting import current_task

if TYPE_CHECKING:
    from types import FrameType


def running_loop() -> Any:
    return asyncio._get_running_loop()  # trio-asyncio may replace it at any time


def backend_of(loop: Any) -> AsyncioBackend:
    backend: AsyncioBackend | None = getattr(loop, "_within_backend", None)
    return _make_backend(loop) if backend is None else backend


def backend_of_running_loop() -> AsyncioBackend | None:
    """The backend of the running loop, if it has one already."""
    return getattr(asyncio._get_running_loop(), "_within_backend", None)


def running_frame() -> FrameType | None:
    task = current_task()
    return None if task is None else getattr(task.get_coro(), "cr_frame", None)


def _make_backend(loop: Any) -> AsyncioBackend:
    # Kept on the loop itself, because it refers to the loop: a registry beside the loop,
    # weak or not, would keep closed loops alive (T20).
    backend = AsyncioBackend(loop)
    try:
        loop._within_backend = backend
    except AttributeError:
        raise RuntimeError(
            f"the loop {loop!r} takes no attributes, and within keeps its state in one: "
            "use a subclass of it without __slots__"
        ) from None
    return backend
