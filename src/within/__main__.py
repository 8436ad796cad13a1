"""The command line: run a command within a limit, leave nothing of its tree.

Options and exit statuses are those of timeout(1) of coreutils. What differs is
the end: a tree that does not go is killed, even if nobody asked for it by ``-k``.
"""

from __future__ import annotations

import getopt
import importlib.metadata
import math
import os
import signal as signals
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._clock import current_time
from ._processes._process import process
from ._processes._stop import Stop
from ._timeouts import move_on_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._processes._process import Process
    from ._timeouts import Timeout

_USAGE = "usage: within SECONDS [options] [--] COMMAND [ARG]..."
_HELP = f"""\
{_USAGE}

Run COMMAND, and after SECONDS end it and all that it has started. SECONDS and
DURATION may end in s, m, h or d; 0 is no limit.

  -s, --signal=SIGNAL        what to send first, by name or number (TERM)
  -k, --kill-after=DURATION  how long after that to send KILL (5s; 0 is never)
  -v, --verbose              say on stderr which signals are sent
  -f, --foreground           leave COMMAND in our process group, so that it can
                             use the terminal; its own children are not ended
      --preserve-status      exit with COMMAND's status, even after a timeout
      --usage                report time and peak memory on stderr
      --backend=LOOP         asyncio (the default), uvloop or trio
      --help, --version

Exit status: 124 if it timed out (137 if it had to be killed), 125 if within
itself fails, 126 if COMMAND cannot be run, 127 if it is not found, 128+n if
signal n ended it, else COMMAND's own. The signals INT, TERM, HUP and QUIT are
passed on, and end COMMAND as the limit does.
"""

_TIMED_OUT, _FAILED, _NOT_EXECUTABLE, _NOT_FOUND, _SIGNALLED = 124, 125, 126, 127, 128
_LONG = [
    "signal=",
    "kill-after=",
    "verbose",
    "foreground",
    "preserve-status",
    "usage",
    "backend=",
    "help",
    "version",
]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# What a terminal, an init system or a job scheduler sends to have us end; no
# Windows has all of them, and there we do not come so far.
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


class _UsageError(Exception):
    pass


@dataclass
class _Options:
    seconds: float = 0.0
    command: list[str] = field(default_factory=list[str])
    signal: int = signals.SIGTERM
    kill_after: float = 5.0
    verbose: bool = False
    foreground: bool = False
    preserve_status: bool = False
    usage: bool = False
    backend: str = "asyncio"
    answer: str = ""  # what to print, in place of all else

    def read(self, words: Sequence[str]) -> list[str]:
        """Take in the options at the front of ``words``; return what follows."""
        try:
            found, rest = getopt.getopt(list(words), "s:k:vf", _LONG)
        except getopt.GetoptError as error:
            raise _UsageError(error.msg) from None
        for option, value in found:
            self._set(option, value)
        return rest

    def _set(self, option: str, value: str) -> None:
        match option:
            case "-s" | "--signal":
                self.signal = _signal(value)
            case "-k" | "--kill-after":
                self.kill_after = _duration(value)
            case "-v" | "--verbose":
                self.verbose = True
            case "-f" | "--foreground":
                self.foreground = True
            case "--preserve-status":
                self.preserve_status = True
            case "--usage":
                self.usage = True
            case "--backend":
                self.backend = _backend(value)
            case "--version":
                self.answer = f"within {importlib.metadata.version('within')}\n"
            case _:
                self.answer = _HELP


def _options(words: Sequence[str]) -> _Options:
    """Options stand before SECONDS, or between it and COMMAND."""
    options = _Options()
    rest = options.read(words)
    if options.answer:
        return options
    if not rest:
        raise _UsageError("no SECONDS: give the limit, then the command")
    options.seconds = _duration(rest[0])
    options.command = options.read(rest[1:])
    if not options.command and not options.answer:
        raise _UsageError("no COMMAND: give the program to run and its arguments")
    return options


def _duration(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # nor is NaN
        raise _UsageError(
            f"invalid time interval {text!r}: give a number of seconds, or of s, m, h, d"
        )
    return seconds


def _signal(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    number = int(text) if text.isdecimal() else getattr(signals, f"SIG{name}", -1)
    if number not in signals.valid_signals():
        raise _UsageError(f"unknown signal {text!r}: give a name or number as kill -l")
    return number


def _backend(text: str) -> str:
    if text not in ("asyncio", "uvloop", "trio"):
        raise _UsageError(f"unknown backend {text!r}: give asyncio, uvloop or trio")
    return text


async def _supervise(options: _Options) -> int:
    import anyio

    stop = Stop(
        signal=options.signal,
        grace=options.kill_after or math.inf,
        tree="child" if options.foreground else "group",
    )
    limit = move_on_after(options.seconds or None)
    signalled = move_on_after(None)
    listened = [getattr(signals, name) for name in _PASSED_ON]
    with anyio.open_signal_receiver(*listened) as received:
        child = await process(
            *options.command, stdin=None, stdout=None, stderr=None, stop=stop
        )
        # Around the block, so that signals are passed on while it is being left.
        async with anyio.create_task_group() as tasks:
            async with child:
                if options.verbose:
                    child._child.on_signal = lambda number: _say(
                        f"sending signal {_name(number)} to command "
                        f"{options.command[0]!r}"
                    )
                tasks.start_soon(_pass_on, received, child, stop, signalled)
                with limit, signalled:
                    await child.wait()
            tasks.cancel_scope.cancel()
    if options.usage and (used := child.usage):
        _say(
            f"wall {used.wall:.3f} s, user {used.user:.3f} s, system {used.system:.3f} "
            f"s, peak memory {used.max_rss / 2**20:.1f} MiB"
        )
    assert child.returncode is not None
    return _status(child.returncode, options, timed_out=limit.cancelled_caught)


async def _pass_on(
    received: Any, child: Process, stop: Stop, signalled: Timeout
) -> None:
    """Signals that we get go to the tree; with the first, its time is running."""
    async for number in received:
        if number != stop.signal or signalled.expired:
            child._child.signal_tree(number)
        if signalled.deadline is None and not signalled.expired:
            # The stop begins with stop.signal: that one is not sent twice.
            patience = 0 if number == stop.signal else stop.grace
            with suppress(RuntimeError):  # it is being stopped already
                signalled.reschedule(current_time() + patience)


def _status(returncode: int, options: _Options, *, timed_out: bool) -> int:
    # coreutils: what had to be killed is reported as killed.
    if timed_out and not options.preserve_status and returncode != -signals.SIGKILL:
        return _TIMED_OUT
    return returncode if returncode >= 0 else _SIGNALLED - returncode


def _name(number: int) -> str:
    try:
        return signals.Signals(number).name[3:]
    except ValueError:  # one of the real-time signals
        return str(number)


def _say(words: object) -> None:
    with suppress(OSError):  # closed, or full
        os.write(2, f"within: {words}\n".encode())


def main(words: Sequence[str] | None = None) -> int:
    """The ``within`` command; returns its exit status."""
    try:
        options = _options(sys.argv[1:] if words is None else words)
    except _UsageError as error:
        _say(f"{error}\n{_USAGE}")
        return _FAILED
    if options.answer:
        print(options.answer, end="")
        return 0
    if not options.command[0]:
        _say("failed to run command '': No such file or directory")
        return _NOT_FOUND
    import anyio

    if hasattr(signals, "SIGCHLD"):  # inherited as ignored, it would hide the status
        signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    loop = "trio" if options.backend == "trio" else "asyncio"
    own: dict[str, Any] = {"use_uvloop": True} if options.backend == "uvloop" else {}
    try:
        status: int = anyio.run(_supervise, options, backend=loop, backend_options=own)
    except FileNotFoundError as error:
        _say(f"failed to run command {options.command[0]!r}: {error.strerror}")
        return _NOT_FOUND
    except OSError as error:
        _say(f"failed to run command {options.command[0]!r}: {error.strerror}")
        return _NOT_EXECUTABLE
    except (ImportError, LookupError):
        _say(
            f"{options.backend} is not installed: pip install within[{options.backend}]"
        )
        return _FAILED
    except NotImplementedError as error:
        _say(error)
        return _FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
