"""The choice of the platform: what a child, its exit and its pipes are made of.

On Windows, what this package calls a descriptor is a handle. The modules beside this one
get from here what differs between the platforms. (A few of them look at ``sys.platform``
as well, and ``_listening`` takes a function from ``_windows`` itself.)
"""

from __future__ import annotations

import sys

__all__ = [
    "CONTINUE",
    "KILL",
    "Child",
    "Files",
    "Log",
    "Pump",
    "WritingBackend",
    "close_end",
    "is_running",
    "read_end",
    "set_blocking",
    "until_exit",
    "writing_backend",
]

if sys.platform == "win32":
    from ._windows._child import CONTINUE, KILL, Child, is_running
    from ._windows._files import Files
    from ._windows._log import Log
    from ._windows._pipes import (
        close as close_end,
        read as read_end,
        set_blocking,
    )
    from ._windows._pump import Pump
    from ._windows._waiting import (
        Writing as WritingBackend,
        until_exit,
        writing_backend,
    )
else:
    from os import (
        close as close_end,
        set_blocking,
    )
    from signal import SIGCONT as CONTINUE, SIGKILL as KILL

    from .._backends import current as writing_backend
    from .._backends._protocol import Backend as WritingBackend
    from ._posix._child import Child
    from ._posix._exit import until_exit
    from ._posix._files import Files
    from ._posix._log import Log
    from ._posix._pump import Pump
    from ._posix._terminal import read as read_end  # for a terminal, EIO is the end
    from ._posix._tree import is_running
