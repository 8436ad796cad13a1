"""Starting the command as a shell or execvp(3) would."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .._processes._command import Command
from .._processes._posix._child import Child
from ._exit_status import FAILED, NOT_EXECUTABLE, NOT_FOUND, OUT_OF_RESOURCES
from ._options import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .._processes._options import CommandOptions
    from .._processes._plan import Stop

# What Python may set LC_CTYPE to.
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


@contextmanager
def process_group() -> Generator[int, None, None]:
    """A process group for the command, which is not its leader.

    The leader of a group cannot call setsid(2). If the command were the leader,
    setsid(1) would fork and what it starts would escape, and a daemon that calls
    setsid(2) without forking would fail.

    The leader is a process that exits at once. It stays a zombie until the end of this
    block, so that the number of the group cannot be reused earlier (P5).
    """
    with warnings.catch_warnings():
        # A fork is dangerous in a program with threads, but not in a child that only
        # exits.
        warnings.simplefilter("ignore", DeprecationWarning)
        leader = os.fork()
    if not leader:
        os._exit(0)
    try:
        os.setpgid(leader, leader)
        yield leader
    finally:
        with suppress(ChildProcessError):
            os.waitpid(leader, 0)


def start_command(
    command: Sequence[str],
    stop: Stop,
    group: int,
    environment: dict[str, str],
    on_signal: Callable[[int], None] | None,
) -> Child:
    """Start ``command`` with all of our descriptors.

    Args:
        command: The program and its arguments.
        stop: How to end it.
        group: The process group to join; 0 for ours.
        environment: Variables to set in addition to ours.
        on_signal: What to call with each signal that stops it.

    Raises:
        Failure: If it cannot be started; its exit status says why.
    """
    program, *arguments = command
    options: CommandOptions = {
        # Descriptors that we have opened ourselves are closed by exec.
        "close_fds": False,
        # Orphans that come to us go on to init, because we end with the command.
        "adopts_orphans": False,
        # What the caller has blocked stays blocked for the command.
        "keep_signal_mask": True,
        "env": {**_inherited_environment(), **environment},
    }
    if group:
        options["process_group"] = group
    path = _find(program)
    try:
        if not program:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            found = Command(tuple(command), {**options, "executable": path})
            return _start(found, stop, on_signal)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # execvp(3) gives a file in no known format to the shell, as a script.
            script = Command(("/bin/sh", path, *arguments), options)
            return _start(script, stop, on_signal)
    except OSError as error:
        raise Failure(
            _status_for(error), f"failed to run command {program!r}: {error.strerror}"
        ) from None


def _start(
    command: Command, stop: Stop, on_signal: Callable[[int], None] | None
) -> Child:
    child = Child(command, stop)
    child.on_signal = on_signal
    child.start(None, None, None)
    return child


def _inherited_environment() -> dict[str, str]:
    """Our environment, without the LC_CTYPE that Python sets in the C locale (PEP 538)."""
    environment = dict(os.environ)
    if environment.get("LC_CTYPE") in _COERCED:
        with suppress(OSError):  # there is no such file
            variables = _read("/proc/self/environ").split(b"\0")
            given = [v[9:] for v in variables if v.startswith(b"LC_CTYPE=")]
            del environment["LC_CTYPE"]
            environment.update(("LC_CTYPE", os.fsdecode(value)) for value in given)
    return environment


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _status_for(error: OSError) -> int:
    if error.errno in OUT_OF_RESOURCES:
        return FAILED
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def _find(program: str) -> str:
    """The path at which execvp(3) finds it. Popen would skip scripts without ``#!``."""
    if "/" not in program:
        for folder in os.get_exec_path():
            path = os.path.join(folder or ".", program)
            if os.access(path, os.X_OK) and not os.path.isdir(path):
                return path
    return program
