"""The command on Windows, where there are no signals, process groups or job control.

Ctrl-C comes to us alone, because the command is in a group of its own; it ends our task,
and with it the command. If we are killed, the command's job ends it.
"""

from __future__ import annotations

import math
import os
import shutil
from functools import partial

from .._processes._command import Command
from .._processes._plan import Stop
from .._processes._platform import Child, Pump
from .._processes._rest import Rest
from .._processes._stopping import let_finish, stop_child
from .._timeouts import move_on_after
from ._exit_status import (
    FAILED,
    NOT_EXECUTABLE,
    NOT_FOUND,
    OUT_OF_RESOURCES,
    TIMED_OUT,
)
from ._messages import say_signal, say_usage
from ._options import Failure, Options

# The exit status of a program that Ctrl-C has ended (STATUS_CONTROL_C_EXIT). It tells
# cmd.exe to end the batch file, too.
CTRL_C = 0xC000013A

# How long the rest of the tree may run after the exit of the command, in seconds.
_LINGER = 1.0


async def supervise(options: Options) -> int:
    """Run the command of ``options``, and return the exit status for ``within``."""
    stop = Stop(
        signal=options.signal,
        grace=options.kill_after or math.inf,
        tree=options.tree or "group",
        pause=_LINGER,
        linger=_LINGER,
    )
    limit = move_on_after(options.seconds or None)
    with _start(options, stop) as command, Pump() as pump:
        pump.watch(command.exit_fd)
        try:
            with limit:
                await pump.until(command.has_exited)
            if command.has_exited():
                rest = Rest(command, stop)
                rest.begin()
                await let_finish(command, pump, rest, is_shared=True)
        finally:
            await stop_child(command, pump, stop)
    if options.usage:
        say_usage(command.usage)
    if limit.cancelled_caught and not options.preserve_status:
        return TIMED_OUT
    assert command.returncode is not None
    return command.returncode


def exit_status(status: int) -> int:
    """What ``main()`` returns: the same 32 bits, as :func:`sys.exit` takes them.

    A negative status means that Ctrl-C has ended us.
    """
    if status < 0:
        status = CTRL_C
    return status - (1 << 32) if status >= 1 << 31 else status


def _start(options: Options, stop: Stop) -> Child:
    program, *arguments = options.command
    try:
        # CreateProcess() finds only programs named .exe. A user of a shell expects
        # npm.cmd to be found as npm.
        path = shutil.which(program) or program
        child = Child(Command((path, *arguments), {"close_fds": False}), stop)
        if options.verbose:
            child.on_signal = partial(say_signal, command=program)
        child.start(None, None, None)
        return child
    except ValueError as error:  # an argument that a batch file cannot have
        raise Failure(NOT_EXECUTABLE, str(error)) from None
    except OSError as error:
        raise Failure(
            _status_for(error, program),
            f"failed to run command {program!r}: {error.strerror}",
        ) from None


def _status_for(error: OSError, program: str) -> int:
    if error.errno in OUT_OF_RESOURCES:
        return FAILED
    if isinstance(error, FileNotFoundError) and not os.path.exists(program):
        return NOT_FOUND
    return NOT_EXECUTABLE
