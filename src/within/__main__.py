"""The command line: run a command within a limit, leave nothing of its tree.

Options and exit statuses are those of timeout(1) of coreutils. What differs is
listed with the reasons in docs/command-line.md, and held by a test.
"""

from __future__ import annotations

import errno
import math
import os
import signal as signals
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._clock import current_time
from ._command_line._options import (
    FAILED,
    HELP,
    NOT_EXECUTABLE,
    NOT_FOUND,
    SIGNALLED,
    TIMED_OUT,
    Failure,
    Options,
    UsageError,
    duration,
    signal_name,
)
from ._command_line._terminal import Terminal, unstopped
from ._processes._plan import Stop
from ._processes._process import process
from ._timeouts import move_on_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from ._processes._process import Process
    from ._timeouts import Timeout

# What a terminal, an init system or a job scheduler sends to have us end.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")

# What would end us, too, though it may mean something else to the command. Not
# SIGPIPE and SIGXFSZ, which Python ignores.
_MEANT_FOR_IT = ("SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO")

# Tells COMMAND how long it has, in seconds, between the first signal and KILL. For
# a `within` inside, which has to be done before: nobody else reaches its group.
_KILL_AFTER = "WITHIN_KILL_AFTER"
_IN_TIME = 0.8

# What a start fails with for the want of something of ours.
_OUR_OWN = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def main(words: Sequence[str] | None = None) -> int:
    """The ``within`` command; returns its exit status, unless a signal is that."""
    try:
        options = Options.parse(sys.argv[1:] if words is None else words)
        status = _answer(options.answer) if options.answer else _run(options)
    except Failure as failure:
        _say(failure)
        return failure.status
    except KeyboardInterrupt:  # before, or after, we listen to it
        status = -signals.SIGINT
    return status if status >= 0 else _die_of(-status, os.getpid())


def _answer(what: str) -> int:
    text = HELP
    if what == "version":
        from importlib.metadata import version  # takes as long as all the rest

        text = f"within {version('within')}\n"
    rest = text.encode()
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except BrokenPipeError:
        return -signals.SIGPIPE  # which Python ignores
    except OSError as error:
        raise Failure(FAILED, f"write error: {error.strerror}") from None
    return 0


def _run(options: Options) -> int:
    """Exit status of the command, or of ours; minus a signal for one to die of."""
    import anyio

    _occupy_standard_descriptors()
    if hasattr(signals, "SIGCHLD"):  # inherited as ignored, it would hide the status
        signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    try:
        __import__(options.backend)
    except ImportError:
        loop = options.backend
        raise Failure(
            FAILED, f"{loop} is not installed: pip install within[{loop}]"
        ) from None
    loop = "trio" if options.backend == "trio" else "asyncio"
    own: dict[str, Any] = {"use_uvloop": True} if options.backend == "uvloop" else {}
    try:
        status: int = anyio.run(_supervise, options, backend=loop, backend_options=own)
    except (OSError, NotImplementedError) as error:
        raise Failure(FAILED, str(error)) from None
    return status


async def _supervise(options: Options) -> int:
    import anyio

    stop = Stop(
        signal=options.signal,
        grace=options.kill_after or math.inf,
        tree="child" if options.foreground else "group",
    )
    limit = move_on_after(options.seconds or None)
    signalled = move_on_after(None)
    with (
        Terminal(foreground=options.foreground) as terminal,
        anyio.open_signal_receiver(*_listened()) as received,
    ):
        child = await _start(options, stop, min(stop.grace, _given()) * _IN_TIME)
        terminal.watch(child._child)
        # Around the block, so that signals are passed on while it is being left.
        async with anyio.create_task_group() as tasks:
            async with child:
                if options.verbose:
                    child._child.on_signal = lambda number: _say(
                        f"sending signal {signal_name(number)} to command "
                        f"{options.command[0]!r}"
                    )
                tasks.start_soon(
                    _pass_on, tasks, received, child, stop, limit, signalled
                )
                with limit, signalled:
                    await child.wait()
                terminal.cut_short = limit.expired or signalled.expired
            tasks.cancel_scope.cancel()
    if options.usage and (used := child.usage):
        _say(
            f"wall {used.wall:.3f} s, user {used.user:.3f} s, system {used.system:.3f} "
            f"s, peak memory {used.max_rss / 2**20:.1f} MiB"
        )
    assert child.returncode is not None
    if terminal.was_lent and child.returncode in (-signals.SIGINT, -signals.SIGQUIT):
        # The keyboard sent it to the child's group alone. A script around us would
        # be in the same group without us, and end by it.
        _die_of(-child.returncode, 0)
    return _status(child.returncode, options, timed_out=limit.cancelled_caught)


def _listened() -> list[Any]:
    """What to pass on. What is ignored stays so, for us and for the command."""
    names = (*_ENDING, *_MEANT_FOR_IT, "SIGALRM")
    numbers = {getattr(signals, name) for name in names if hasattr(signals, name)}
    if hasattr(signals, "SIGRTMIN"):
        numbers.update(range(signals.SIGRTMIN, signals.SIGRTMAX + 1))
    return [n for n in sorted(numbers) if signals.getsignal(n) != signals.SIG_IGN]


def _given() -> float:
    """Seconds that a `within` around us gives us, once it has told us to end."""
    try:
        return duration(os.environ.get(_KILL_AFTER, "inf"))
    except UsageError:
        return math.inf


async def _start(options: Options, stop: Stop, grace: float) -> Process:
    program, *arguments = options.command
    how: dict[str, Any] = {"stdin": None, "stdout": None, "stderr": None, "stop": stop}
    if grace < math.inf:
        how["env"] = {**os.environ, _KILL_AFTER: f"{grace:g}"}
    path = _path_of(program)
    try:
        if not program:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            return await process(*options.command, **how, executable=path)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # As execvp(3) does: what is no program is a script for the shell.
            return await process("/bin/sh", path, *arguments, **how)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        status = NOT_FOUND if missing else NOT_EXECUTABLE
        raise Failure(
            FAILED if error.errno in _OUR_OWN else status,
            f"failed to run command {program!r}: {error.strerror}",
        ) from None


def _path_of(program: str) -> str:
    """Where execvp(3) finds it; Popen would pass over a script without ``#!``."""
    if "/" not in program:
        for folder in os.get_exec_path():
            path = os.path.join(folder or ".", program)
            if os.access(path, os.X_OK) and not os.path.isdir(path):
                return path
    return program


async def _pass_on(
    tasks: TaskGroup,
    received: Any,
    child: Process,
    stop: Stop,
    limit: Timeout,
    signalled: Timeout,
) -> None:
    """Signals that we get go to the tree; with one to end, its time is running."""
    ending = {getattr(signals, name) for name in _ENDING}
    given = _given()
    async for number in received:
        if number == signals.SIGALRM:  # the alarm by which timeout(1) wakes itself
            limit.cancel()
            continue
        if number != stop.signal or signalled.expired:
            child._child.signal_tree(number)
            # One that is stopped takes none until it runs on.
            child._child.signal_tree(signals.SIGCONT, report=False)
        begins = number in ending or number == stop.signal
        if begins and given < math.inf:
            tasks.start_soon(_kill_after, given, child)
            given = math.inf
        if begins and signalled.deadline is None and not signalled.expired:
            # The stop begins with stop.signal: that one is not sent twice.
            patience = 0 if number == stop.signal else stop.grace
            with suppress(RuntimeError):  # it is being stopped already
                signalled.reschedule(current_time() + patience)


async def _kill_after(seconds: float, child: Process) -> None:
    import anyio

    await anyio.sleep(seconds)
    child._child.signal_tree(signals.SIGKILL)


def _status(returncode: int, options: Options, *, timed_out: bool) -> int:
    if not timed_out:
        return returncode
    # coreutils: what had to be killed is reported as killed.
    if not options.preserve_status and returncode != -signals.SIGKILL:
        return TIMED_OUT
    return returncode if returncode >= 0 else SIGNALLED - returncode


def _die_of(number: int, whom: int) -> int:
    """End as the command did, so that a shell which waits for us acts on it.

    ``whom`` is our number, or 0 for all of our group.
    """
    import resource

    # No core of ours: a limit of 1 byte has Linux write none, and call no handler
    # for it either, which a limit of 0 does not prevent. See core(5).
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))
    with suppress(OSError):  # SIGKILL cannot be handled anyway
        signals.signal(number, signals.SIG_DFL)
    signals.pthread_sigmask(signals.SIG_UNBLOCK, [number])
    os.kill(whom, number)
    return SIGNALLED + number


def _occupy_standard_descriptors() -> None:
    """What we were given closed must not become a descriptor of ours.

    The command gets it closed, as we did: these are not inherited.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _say(words: object) -> None:
    with unstopped(), suppress(OSError):  # closed, or full
        os.write(2, f"within: {words}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main())
