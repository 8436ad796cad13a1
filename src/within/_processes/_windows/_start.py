"""Starting a program, suspended until it is in its job (P3)."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import errno
import os
import subprocess
from typing import TYPE_CHECKING, Any

from .._command import explain_missing
from .._descriptors import keep
from ._handles import Handles
from ._kernel import assign, has_console, resume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._command import Command

_SUSPENDED = 0x4
_USE_HANDLES = 0x100  # STARTF_USESTDHANDLES
_BAD_DIRECTORY = 267  # ERROR_DIRECTORY: cwd is not a directory

# CTRL_BREAK_EVENT can only be sent to a process group.
_NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP

# What cmd.exe interprets, even in an argument of a batch file.
_SPECIAL = frozenset('"%^&|<>\r\n')


def start_program(
    started: list[tuple[int, int, int, int]],
    command: Command,
    files: tuple[int, int, int],
    env: Mapping[Any, Any] | None,
    job: int,
) -> None:
    """Start ``command`` in ``job``.

    (handle, handle of the first thread, process id, thread id) is appended to
    ``started`` from the first moment, while the program cannot run yet.
    """
    options = command.options
    program = options.get("executable")
    words = [os.fsdecode(word) for word in command.args]
    _check_batch_file(os.fsdecode(program or words[0]), words)
    cwd = options.get("cwd")
    info = subprocess.STARTUPINFO(dwFlags=_USE_HANDLES)
    info.hStdInput, info.hStdOutput, info.hStdError = files
    if options.get("close_fds", True):
        info.lpAttributeList = {"handle_list": sorted(set(files))}
    flags = options.get("creationflags", 0)
    if not flags and not has_console():
        # The child of a program without a console would get a console window.
        flags = subprocess.CREATE_NO_WINDOW
    line = subprocess.list2cmdline(words)
    sys.audit("subprocess.Popen", program, line, cwd, env)
    try:
        keep(
            started,
            _winapi.CreateProcess,
            None if program is None else os.fsdecode(program),
            line,
            *(None, None, True, flags | _SUSPENDED | _NEW_GROUP),
            _environment(env),
            None if cwd is None else os.fsdecode(cwd),
            info,
        )
    except OSError as error:
        named = _named(error, os.fsdecode(program or words[0]), cwd)
        if isinstance(named, FileNotFoundError) and cwd != named.filename:
            explain_missing(named, command.args)
        raise named from None
    with Handles() as own:
        thread = own.open(int, started[-1][1])
        assign(job, started[-1][0])
        resume(thread)


def _environment(env: Mapping[Any, Any] | None) -> dict[str, str] | None:
    if env is None:
        return None
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    for name in found:
        if "=" in name[1:] or not name:
            raise ValueError(f"{name!r} cannot be the name of a variable")
    return found


def _named(error: OSError, program: str, cwd: Any) -> OSError:
    """The same error with the file or the directory that it is about (P2)."""
    number = error.errno or errno.EINVAL
    if cwd is not None and (error.winerror == _BAD_DIRECTORY or not os.path.isdir(cwd)):
        return OSError(number, error.strerror, os.fsdecode(cwd), error.winerror)
    return OSError(number, error.strerror, program, error.winerror)


def _check_batch_file(program: str, words: list[str]) -> None:
    """Refuse arguments of a batch file that cmd.exe would interpret (P2)."""
    if not program.rstrip(" .").lower().endswith((".bat", ".cmd")):
        return
    for place, word in enumerate(words):
        if place and _SPECIAL.intersection(word):
            raise ValueError(
                f"argument {place} is {word!r}: {program!r} is a batch file, and "
                "cmd.exe, which runs it, could run part of that as a command"
            )
