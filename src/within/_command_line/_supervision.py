"""Running one command within its limit, and forwarding signals to it meanwhile."""

from __future__ import annotations

import math
import os
import signal as signals
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from .._clock import current_time
from .._processes._plan import Stop
from .._timeouts import move_on_after
from ._exit_status import after_timeout, die_of
from ._messages import say, say_usage
from ._options import UsageError, duration, signal_name
from ._start import start_command
from ._terminal import Terminal

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from .._processes._process import Process
    from ._options import Options

# Signals by which a terminal, an init system or a job scheduler asks us to end.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")

# Other signals whose default action would end us. Python ignores SIGPIPE and SIGXFSZ.
_FORWARDED = ("SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO")

# This variable tells the command how many seconds it has between the first signal and
# KILL. A nested `within` must kill its own group before that, since KILL does not reach
# that group.
_KILL_AFTER = "WITHIN_KILL_AFTER"
_SHARE = 0.8  # of our own grace, so that a nested `within` is done in time

# How long the rest of the group may run after the exit of the command. In seconds.
_LINGER = 1.0


async def supervise(options: Options, group: int) -> int:
    """Run the command of ``options`` in the process group ``group``; 0 for ours.

    Returns:
        The exit status for ``within``, or minus the signal that is to end it.
    """
    return await _Supervision(options, group).run()


class _Supervision:
    """One command, from its start until its process group is gone."""

    def __init__(self, options: Options, group: int) -> None:
        self._options = options
        self._group = group
        self._stop = Stop(
            signal=options.signal,
            grace=options.kill_after or math.inf,
            tree=options.tree or "group",
            die_with_parent=options.die_with_parent,
            # The helper of `exec > >(tee log)` ends some milliseconds after the
            # command. We cannot see whether output still comes: it is not ours (P6).
            pause=_LINGER,
            linger=_LINGER,
        )
        self._time_given = _time_given()
        self._limit = move_on_after(options.seconds or None)
        # Its deadline is set by the first signal that asks us to end.
        self._asked_to_end = move_on_after(None)

    async def run(self) -> int:
        """Run the command, and return the exit status as :func:`supervise` does."""
        options = self._options
        with (
            Terminal(self._group) as terminal,
            anyio.open_signal_receiver(*_forwarded_signals()) as received,
        ):
            command = await start_command(
                options.command,
                self._stop,
                self._group,
                self._environment(),
                self._report if options.verbose else None,
            )
            terminal.watch(command)
            # The group is around the block of the command, so that signals are
            # forwarded while the command is being stopped, too.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._forward, tasks, received, command)
                async with command:
                    with self._limit, self._asked_to_end:
                        await command.wait()
                    terminal.cut_short = (
                        self._limit.expired or self._asked_to_end.expired
                    )
                tasks.cancel_scope.cancel()
        return self._status(command, terminal)

    def _environment(self) -> dict[str, str]:
        seconds = min(self._stop.grace, self._time_given) * _SHARE
        return {_KILL_AFTER: f"{seconds:g}"} if seconds < math.inf else {}

    def _status(self, command: Process, terminal: Terminal) -> int:
        returncode, options = command.returncode, self._options
        if options.usage:
            say_usage(command.usage)
        assert returncode is not None
        if terminal.was_lent and returncode in (-signals.SIGINT, -signals.SIGQUIT):
            # The keyboard sent this signal to the command's group alone. Without us, the
            # script that called us would be in that group, and would have ended too.
            die_of(-returncode, 0)
        if self._limit.cancelled_caught:
            return after_timeout(returncode, preserve=options.preserve_status)
        return returncode

    # -- signals ---------------------------------------------------------------

    async def _forward(self, tasks: TaskGroup, received: Any, command: Process) -> None:
        """Send the tree each signal that we get; some of them also ask us to end."""
        ending = {getattr(signals, name) for name in _ENDING} | {self._stop.signal}
        async for number in received:
            if number == signals.SIGALRM:  # timeout(1) uses it to wake itself
                with suppress(RuntimeError):  # the command has ended already
                    self._limit.cancel()
                continue
            # The stop sequence sends stop.signal first. It is not sent twice.
            if number != self._stop.signal or self._asked_to_end.expired:
                if self._options.verbose:
                    self._report(number)
                command.send_signal(number, tree=True)
                # A stopped process handles no signal before it is continued.
                command.send_signal(signals.SIGCONT, tree=True)
            if number in ending:
                self._end_soon(tasks, command, number)

    def _end_soon(self, tasks: TaskGroup, command: Process, number: int) -> None:
        """Signal ``number`` asked us to end; the first such signal sets the time."""
        if self._time_given < math.inf:
            tasks.start_soon(_kill_after, self._time_given, command)
            self._time_given = math.inf
        asked = self._asked_to_end
        if asked.deadline is None and not asked.expired:
            patience = 0 if number == self._stop.signal else self._stop.grace
            with suppress(RuntimeError):  # the command is being stopped already
                asked.reschedule(current_time() + patience)

    def _report(self, number: int) -> None:
        name = self._options.command[0]
        say(f"sending signal {signal_name(number)} to command {name!r}")


def _forwarded_signals() -> list[Any]:
    """The signals to forward. Ignored ones stay ignored, for the command as well."""
    names = (*_ENDING, *_FORWARDED, "SIGALRM")
    numbers = {getattr(signals, name) for name in names if hasattr(signals, name)}
    if hasattr(signals, "SIGRTMIN"):
        numbers.update(range(signals.SIGRTMIN, signals.SIGRTMAX + 1))
    return [n for n in sorted(numbers) if signals.getsignal(n) != signals.SIG_IGN]


def _time_given() -> float:
    """Seconds that an enclosing `within` gives us once it has asked us to end."""
    try:
        return duration(os.environ.get(_KILL_AFTER, "inf"))
    except UsageError:
        return math.inf


async def _kill_after(seconds: float, command: Process) -> None:
    await anyio.sleep(seconds)
    command.send_signal(signals.SIGKILL, tree=True)
