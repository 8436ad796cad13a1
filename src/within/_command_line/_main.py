"""The entry point: parse the words, choose the loop, return the exit status.

Options and exit statuses are those of timeout(1) of coreutils. The differences and
their reasons are listed in docs/command-line.md, and a test checks the list.
"""

from __future__ import annotations

import atexit
import os
import signal as signals
import sys
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from .._processes._command import check_system
from ._exit_status import FAILED, die_of
from ._messages import say
from ._options import HELP, Failure, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import NoReturn


def main(words: Sequence[str] | None = None) -> int:
    """Run the ``within`` command and return its exit status.

    If a signal ended the command, this process ends by the same signal.
    """
    try:
        options = Options.parse(sys.argv[1:] if words is None else words)
        status = _print(options.answer) if options.answer else _run(options)
    except Failure as failure:
        say(failure)
        return failure.status
    except KeyboardInterrupt:  # before or after the signals are forwarded
        status = -signals.SIGINT
    if sys.platform == "win32":
        from ._windows import exit_status

        return exit_status(status)
    return status if status >= 0 else die_of(-status, os.getpid())


def run() -> NoReturn:
    """Run the ``within`` command and exit with its status.

    The interpreter's own end takes a sixth of the time of ``within 5 true``. It frees
    what the kernel is about to free anyway, so only the exit functions are run.
    """
    status = main()
    python: Any = atexit  # the function has no public name
    python._run_exitfuncs()
    os._exit(status)


def _print(answer: str) -> int:
    """Print the help or the version."""
    text = HELP
    if answer == "version":
        # Imported here because this import alone doubles the start time.
        from importlib.metadata import version

        text = f"within {version('within')}\n"
    rest = text.encode()
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except BrokenPipeError:
        if sys.platform == "win32":
            return FAILED
        return -signals.SIGPIPE  # Python ignores the signal itself
    except OSError as error:
        raise Failure(FAILED, f"write error: {error.strerror}") from None
    return 0


def _run(options: Options) -> int:
    """Run the command; a negative result is minus the signal that should end us."""
    try:
        if sys.platform == "win32":
            from ._windows import supervise as supervise_on_windows

            return _runner(options.backend)(partial(supervise_on_windows, options))
        else:
            from ._start import process_group
            from ._supervision import supervise

            check_system()
            _occupy_standard_descriptors()
            # We may have inherited SIGCHLD as ignored; then exit statuses are lost.
            signals.signal(signals.SIGCHLD, signals.SIG_DFL)
            run = _runner(options.backend)
            # The group is made before the loop: forking in a running loop is unsafe.
            with nullcontext(0) if options.foreground else process_group() as group:
                return run(partial(supervise, options, group))
    except (OSError, NotImplementedError) as error:
        raise Failure(FAILED, str(error)) from None


def _runner(backend: str) -> Callable[[Callable[[], Coroutine[Any, Any, int]]], int]:
    """Return the function that runs a coroutine function on the chosen loop."""
    if backend == "none":
        if sys.platform == "win32":  # where that loop cannot wait for pipes
            backend = "asyncio"
        else:
            from ._blocking import run

            return lambda main: run(main())
    try:
        loop: Any = __import__(backend)
    except ImportError:
        raise Failure(
            FAILED, f"{backend} is not installed: pip install within[{backend}]"
        ) from None
    if backend == "trio":
        return lambda main: loop.run(main)
    return lambda main: loop.run(main())


def _occupy_standard_descriptors() -> None:
    """Keep files that we open from becoming stdin, stdout or stderr of the command.

    A standard stream that our caller closed is closed for the command as well,
    because these placeholders are not inherited.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the kernel assigns the lowest free number
