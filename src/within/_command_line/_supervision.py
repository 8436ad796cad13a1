"""Running one command within its limit, and forwarding signals to it meanwhile."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import math
import os
import signal as signals
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from .._backends import current
from .._clock import current_time
from .._processes._plan import Stop
from .._processes._posix._pump import Pump
from .._processes._rest import Rest
from .._processes._stopping import let_finish, stop_child
from .._timeouts import move_on_after
from ._exit_status import after_timeout, die_of
from ._messages import say_signal, say_usage
from ._options import UsageError, duration
from ._signals import Signals
from ._start import start_command
from ._terminal import Terminal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .._processes._posix._child import Child
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

# How long the rest of the group may run after the exit of the command, in seconds,
# unless it is still reading output of the command.
_PAUSE = 1.0


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
            # We cannot see whether output still comes, because it does not go through us
            # (P6). But the helper of `exec > >(tee log)` is recognised by its input, and
            # gets what is left of the limit.
            pause=_PAUSE,
            linger=math.inf,
        )
        self._ending = {getattr(signals, name) for name in _ENDING} | {options.signal}
        self._time_given = _time_given()
        self._limit = move_on_after(options.seconds or None)
        # Its deadline is set by the first signal that asks us to end.
        self._asked_to_end = move_on_after(None)
        # That signal, if it came after the command had exited, while we were waiting for
        # its helpers.
        self._cut_off_by = 0

    async def run(self) -> int:
        """Run the command, and return the exit status as :func:`supervise` does."""
        options = self._options
        current().wake_on_signals()
        with (
            Terminal(self._group) as terminal,
            Signals(_forwarded_signals()) as received,
            start_command(
                options.command,
                self._stop,
                self._group,
                self._environment(),
                self._report if options.verbose else None,
            ) as command,
            Pump() as pump,
            ExitStack() as until_gone,
        ):
            terminal.watch(command)

            def forward() -> None:
                for number in received.take():
                    self._forward(number, command)
                    if number in self._ending and self._time_given < math.inf:
                        until_gone.enter_context(self._killing(command, pump))

            # Signals are forwarded while the command is being stopped, too.
            pump.listen(received.fd, forward)
            pump.watch(command.exit_fd)
            try:
                with self._limit, self._asked_to_end:
                    await pump.until(command.has_exited)
                    rest = Rest(command, self._stop)
                    rest.begin()
                    await let_finish(command, pump, rest, is_shared=True)
                terminal.cut_short = self._limit.expired or self._asked_to_end.expired
            finally:
                await stop_child(command, pump, self._stop)
        return self._status(command, terminal)

    def _environment(self) -> dict[str, str]:
        seconds = min(self._stop.grace, self._time_given) * _SHARE
        return {_KILL_AFTER: f"{seconds:g}"} if seconds < math.inf else {}

    def _status(self, command: Child, terminal: Terminal) -> int:
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
        if self._cut_off_by and not options.preserve_status:
            # The helpers may have lost output. The command's own status does not say so.
            return -self._cut_off_by
        return returncode

    # -- signals ---------------------------------------------------------------

    def _forward(self, number: int, command: Child) -> None:
        """Send the tree a signal that we received; some of them also ask us to end."""
        if number == signals.SIGALRM:  # timeout(1) uses it to wake itself
            self._limit.cancel()
            return
        had_exited = command.has_exited()  # before this signal, which may end it
        # The stop sequence sends stop.signal first. It is not sent twice.
        if number != self._stop.signal or self._asked_to_end.expired:
            if self._options.verbose:
                self._report(number)
            command.signal_tree(number, report=False)
            # A stopped process handles no signal before it is continued.
            command.signal_tree(signals.SIGCONT, report=False)
        asked = self._asked_to_end
        if number in self._ending and asked.deadline is None and not asked.expired:
            self._cut_off_by = number if had_exited else 0
            # The first signal that asks us to end sets the time.
            patience = 0 if number == self._stop.signal else self._stop.grace
            with suppress(RuntimeError):  # the command is being stopped already
                asked.reschedule(current_time() + patience)

    def _killing(self, command: Child, pump: Pump) -> AbstractContextManager[None]:
        """Send KILL when the time that an enclosing `within` gives us is over."""
        seconds, self._time_given = self._time_given, math.inf
        kill = partial(command.signal_tree, signals.SIGKILL, report=False)
        return pump.alarm(seconds, kill)

    def _report(self, number: int) -> None:
        say_signal(number, self._options.command[0])


def _forwarded_signals() -> list[int]:
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
