"""Runs a suite without what only Linux has: ``python -m pytest -p without_linux``.

It is what macOS and the BSDs would see: no pidfds, no ``/proc``, no sizes of pipes, no
limits of other processes. The names are deleted before anything imports within.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal

HIDDEN = (
    (os, ("pidfd_open", "P_PIDFD", "PIDFD_NONBLOCK", "memfd_create", "eventfd")),
    (signal, ("pidfd_send_signal",)),
    (fcntl, ("F_GETPIPE_SZ", "F_SETPIPE_SZ")),
    (resource, ("prlimit", "RLIMIT_RTTIME")),
)

for module, names in HIDDEN:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

from within._processes._posix import _tree

_tree._proc.is_usable = False
