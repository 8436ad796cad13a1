"""The asyncio backend, for uvloop too: one alarm per loop, and ``Task.cancel()``.

Only modules below a folder or a name ``_asyncio…`` import asyncio.
"""

from ._running import (
    backend_of,
    backend_of_running_loop,
    running_frame,
    running_loop,
)

__all__ = ["backend_of", "backend_of_running_loop", "running_frame", "running_loop"]
