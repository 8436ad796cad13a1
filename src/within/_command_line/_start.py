"""Starting the command as a shell or execvp(3) would."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from .._processes._process import process
from ._exit_status import FAILED, NOT_EXECUTABLE, NOT_FOUND
from ._options import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._processes._process import Process
    from .._processes._stop import Stop

# Errors that mean that we, not the command, ran out of something.
_OUT_OF_RESOURCES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


async def start_command(
    command: Sequence[str], stop: Stop, environment: dict[str, str]
) -> Process:
    """Start ``command`` with our own standard streams.

    Args:
        command: The program and its arguments.
        stop: How to end it.
        environment: Variables to set in addition to ours.

    Raises:
        Failure: If it cannot be started, with the exit status that tells why.
    """
    program, *arguments = command
    options: dict[str, Any] = {
        "stdin": None,
        "stdout": None,
        "stderr": None,
        "stop": stop,
        "env": {**os.environ, **environment},
    }
    path = _find(program)
    try:
        if not program:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            return await process(*command, **options, executable=path)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # execvp(3) gives a file in no known format to the shell, as a script.
            return await process("/bin/sh", path, *arguments, **options)
    except OSError as error:
        raise Failure(
            _status_for(error), f"failed to run command {program!r}: {error.strerror}"
        ) from None


def _status_for(error: OSError) -> int:
    if error.errno in _OUT_OF_RESOURCES:
        return FAILED
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def _find(program: str) -> str:
    """The path at which execvp(3) finds it; Popen skips scripts without ``#!``."""
    if "/" not in program:
        for folder in os.get_exec_path():
            path = os.path.join(folder or ".", program)
            if os.access(path, os.X_OK) and not os.path.isdir(path):
                return path
    return program
