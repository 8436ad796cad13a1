"""Trying to connect, in a thread, because a pump cannot wait for a socket (P23)."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import socket
import threading
from typing import Any

from ..._backends import current
from ._waiting import Wakeable

Address = tuple[Any, Any, int, str, Any]


async def accepts(address: Address, patience: float) -> bool:
    """Whether something accepts connections at ``address`` within ``patience`` seconds.

    If the call is cancelled, the thread goes on for that long.
    """
    task = Wakeable()
    answers: list[bool] = []

    def attempt() -> None:
        answers.append(_connects(address, patience))
        task.wake()

    threading.Thread(target=attempt, name="within-connect", daemon=True).start()
    while not answers:
        await task.wait(current(), lambda: bool(answers))
    return answers[0]


def _connects(address: Address, patience: float) -> bool:
    family, kind, protocol, _, name = address
    try:
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(patience)
            connection.connect(name)
            # A socket can be connected to itself; see _listening.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False
