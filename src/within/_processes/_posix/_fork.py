"""Starting a program: fork, exec, and the error if either fails (P2).

This does what ``subprocess.Popen`` does on POSIX, with the same C function, but stores
the pid in the same step as the fork: otherwise a signal handler that raises just then
would leave a child behind whose pid is lost (P14).
"""

from __future__ import annotations

import _posixsubprocess
import builtins
import errno
import fcntl
import grp
import os
import pwd
import select
import signal as signals
import subprocess
import sys
import termios
import warnings
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from .._command import explain_missing
from .._descriptors import Descriptors, keep
from ._spawn import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .._command import Command
    from .._options import CommandOptions

    Ids = tuple[int | None, list[int] | None, int | None]

fork_exec: Any = _posixsubprocess.fork_exec

# How much of the child's report is read at once, in bytes. It is one short line.
_REPORT = 50_000


def start_program(
    pids: list[int],
    command: Command,
    files: tuple[int, int, int],
    env: Mapping[Any, Any] | None,
    process_group: int,
) -> None:
    """Start ``command``, with its pid appended to ``pids`` from the first moment.

    Args:
        files: The child's stdin, stdout and stderr; -1 for ours.
        env: Its environment; ``None`` for ours.
        process_group: The group to join, 0 for a new one, -1 for ours.
    """
    options = command.options
    executable = options.get("executable") or command.args[0]
    cwd = options.get("cwd")
    sys.audit("subprocess.Popen", executable, list(command.args), cwd, env)
    candidates, encoded = _candidates(executable, env), _encoded(env)
    if command.terminal is not None:
        try:
            if spawn(pids, command, candidates, env, files[0]):
                return
        except OSError as error:
            code = error.errno or 0
            raise _explained(
                type(error)(code, os.strerror(code), executable), command
            ) from None
    with Descriptors() as own:
        reading, writing = own.pipe()
        while writing < 3:  # these numbers are about to be replaced in the child
            writing = own.open(os.dup, writing)
        pipe = reading, writing
        arguments = _arguments(command, candidates, files, pipe, encoded, process_group)
        _fork(pids, arguments, command)
        report = _report(own, reading)
    if report:
        try:
            os.waitpid(pids[-1], 0)
        except ChildProcessError:  # SIGCHLD is ignored
            pass
        pids.clear()
        raise _explained(_error(report, executable, cwd), command)


def _arguments(
    command: Command,
    candidates: tuple[bytes, ...],
    files: tuple[int, int, int],
    pipe: tuple[int, int],
    env: list[bytes] | None,
    process_group: int,
) -> tuple[Any, ...]:
    """The arguments of ``fork_exec`` up to ``preexec_fn``; ``pipe`` is for the report."""
    options = command.options
    pass_fds = {*map(int, options.get("pass_fds", ())), pipe[1]}
    stdin, stdout, stderr = files
    return (
        list(command.args),
        candidates,
        bool(options.get("close_fds", True)) or len(pass_fds) > 1,
        tuple(sorted(pass_fds)),
        options.get("cwd"),
        env,
        *(stdin, -1, -1, stdout, -1, stderr),
        *pipe,
        bool(options.get("restore_signals", True)),
        bool(options.get("start_new_session") or command.terminal),
        process_group,
        *_ids(options),
        options.get("umask", -1),
    )


def _explained(error: BaseException, command: Command) -> BaseException:
    if isinstance(error, FileNotFoundError):
        explain_missing(error, command.args)
    return error


def _fork(pids: list[int], arguments: tuple[Any, ...], command: Command) -> None:
    use_vfork = (True,) if sys.version_info < (3, 14) else ()
    preexec_fn = command.options.get("preexec_fn")
    ours = list(_steps_of_ours(command))
    if not ours:
        keep(pids, fork_exec, *arguments, preexec_fn, *use_vfork)
        return
    with warnings.catch_warnings():
        # 3.12 and newer warn about fork() with threads. Each of our steps is one
        # system call, and cannot wait for a lock of another thread.
        warnings.simplefilter("ignore", DeprecationWarning)
        steps = ours if preexec_fn is None else [*ours, preexec_fn]
        only = steps[0] if len(steps) == 1 else partial(_each, *steps)
        keep(pids, fork_exec, *arguments, only, *use_vfork)


def _steps_of_ours(command: Command) -> Iterator[Callable[[], object]]:
    """What the child has to do for us before exec, which needs fork(), not vfork()."""
    keeps_mask = command.options.get("keep_signal_mask", False)
    if not keeps_mask and signals.pthread_sigmask(signals.SIG_BLOCK, ()):
        # This thread has signals blocked, and a child inherits that: it would never
        # see a polite SIGTERM. They cannot be unblocked here, where they might kill us.
        yield partial(signals.pthread_sigmask, signals.SIG_SETMASK, ())
    if command.terminal is not None:  # its stdin becomes its controlling terminal
        yield partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0)


def _each(*functions: Callable[[], object]) -> None:
    for function in functions:
        function()


def _candidates(
    program: str | bytes | os.PathLike[Any], env: Mapping[Any, Any] | None
) -> tuple[bytes, ...]:
    """The paths to try, as execvp(3) does."""
    name = os.fsencode(program)
    if os.path.dirname(name):
        return (name,)
    if env is None:  # get_exec_path() would do the same, and take longer
        return _in_each(os.environ.get("PATH", os.defpath), name)
    return _in_each(os.pathsep.join(os.get_exec_path(env)), name)


@lru_cache(maxsize=64)
def _in_each(folders: str, name: bytes) -> tuple[bytes, ...]:
    return tuple(
        os.path.join(os.fsencode(folder), name) for folder in folders.split(os.pathsep)
    )


def _encoded(env: Mapping[Any, Any] | None) -> list[bytes] | None:
    if env is None:
        return None
    entries: list[bytes] = []
    for name, value in env.items():
        encoded = os.fsencode(name)
        if b"=" in encoded:
            raise ValueError(
                f"{name!r} cannot be the name of a variable: it contains '='"
            )
        entries.append(encoded + b"=" + os.fsencode(value))
    return entries


def _ids(options: CommandOptions) -> Ids:
    """(group, extra groups, user) as numbers, or ``None`` where not asked for."""
    group, user = options.get("group"), options.get("user")
    extra = options.get("extra_groups")

    def group_id(name: str) -> int:
        return grp.getgrnam(name).gr_gid

    def user_id(name: str) -> int:
        return pwd.getpwnam(name).pw_uid

    return (
        None if group is None else _id("group", group, group_id),
        None if extra is None else [_id("extra_groups", x, group_id) for x in extra],
        None if user is None else _id("user", user, user_id),
    )


def _id(what: str, value: object, look_up: Callable[[str], int]) -> int:
    number = look_up(value) if isinstance(value, str) else value
    if not isinstance(number, int):
        raise TypeError(f"{what} is {value!r}: give a name or a number")
    if number < 0:
        raise ValueError(f"{what} is {value!r}: give a number of 0 or more")
    return number


def _report(own: Descriptors, reading: int) -> bytes:
    """The child's report about its exec(), which is empty if that worked."""
    own.close_except(reading)  # the only writing end left is the child's
    os.set_blocking(reading, False)
    data = b""
    while True:
        try:
            part = os.read(reading, _REPORT)
        except BlockingIOError:
            # Only after a fork(), not a vfork(); or another thread's child has
            # inherited the writing end, and has not reached its own exec() yet.
            poll = select.poll()
            poll.register(reading, select.POLLIN)
            poll.poll()
            continue
        data += part
        if not part or len(data) > _REPORT:
            return data


def _error(report: bytes, program: Any, cwd: Any) -> BaseException:
    """The exception that the child describes: b"kind:errno in hex:message"."""
    kind, _, rest = report.partition(b":")
    number, _, words = rest.partition(b":")
    error: Any = getattr(builtins, kind.decode("ascii", "replace"), None)
    message = words.decode(errors="replace")
    if kind == b"SubprocessError":
        return subprocess.SubprocessError(
            "preexec_fn raised an exception. (If it calls os.setsid(), that fails because "
            "the child already leads a process group: give start_new_session=True instead)"
        )
    if not isinstance(error, type) or not issubclass(error, BaseException):
        return subprocess.SubprocessError(f"the child reported {report!r} at its start")
    if not issubclass(error, OSError):
        return error(message)
    code = int(number, 16)
    # Before 3.13 a plain "noexec" may mean chdir() as well as setuid() and the like.
    is_of_cwd = cwd is not None and code in (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
    if message == "noexec:chdir" or (message == "noexec" and is_of_cwd):
        return error(code, os.strerror(code), cwd)
    if message == "noexec":
        return error(code, os.strerror(code))
    return error(code, os.strerror(code), program)
