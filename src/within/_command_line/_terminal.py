"""Job control: the command has a process group of its own, and may want the terminal.

The command's group starts in the background, so that Ctrl-C comes to us (P3). If the
command reads the terminal or sets its modes, the kernel stops it with SIGTTIN or
SIGTTOU. We take this as a request for the terminal: if the terminal is ours to give,
we make the command's group the foreground group and continue it.

All of this happens in signal handlers, because that works the same on every loop;
uvloop, for one, does not let other code listen to SIGCHLD.
"""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._processes._posix._tty import (
    ControllingTerminal,
    stop_ourselves,
    stop_signal,
)

if TYPE_CHECKING:
    from typing import Self

    from .._processes._posix._child import Child

assert sys.platform != "win32"


class Terminal:
    """Our controlling terminal, which the command gets while it needs it.

    Enter this block before the command is started, then call :meth:`watch`.
    """

    def __init__(self, group: int) -> None:
        """``group`` is the process group of the command; 0 for ours."""
        self.cut_short = False  # we stopped the command; it did not end by itself
        self.was_lent = False  # the command had the terminal when it ended
        self._group = group
        self._command: Child | None = None
        self._wanted = False
        self._stop_key_came = False  # before the command was started
        self._handlers: dict[int, Any] = {}
        self._tty = ControllingTerminal()
        self._has_terminal = False

    def __enter__(self) -> Self:
        # These signals must not stop us, or the limit could not end the command. We do
        # not ignore them, because the command would inherit that.
        self._handle(signals.SIGTTIN, _do_nothing)
        self._handle(signals.SIGTTOU, _do_nothing)
        if self._group:
            self._handle(signals.SIGTSTP, self._on_stop_key)
            self._has_terminal = self._tty.open()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_lent():
            self.was_lent = True
            self._take_back()
        for number, handler in self._handlers.items():
            signals.signal(number, handler)
        self._tty.close()

    def watch(self, command: Child) -> None:
        """Give ``command`` the terminal whenever it is stopped for using it."""
        self._command = command
        if self._has_terminal:
            self._handle(signals.SIGCHLD, self._on_child)
            self._on_child()  # the command may have been stopped before this line
        if self._stop_key_came:
            self._on_stop_key()

    def _handle(self, number: int, handler: Any) -> None:
        before = signals.getsignal(number)
        if before != signals.SIG_IGN or number == signals.SIGCHLD:
            self._handlers[number] = before
            signals.signal(number, handler)

    # -- the command wants the terminal, or has to be stopped with us ------------

    def _on_child(self, *_: object) -> None:
        """A child may have stopped. Exits are handled elsewhere."""
        command = self._command
        if command is None:
            return
        by = stop_signal(os.P_PID, command.pid)
        if by in (signals.SIGTTIN, signals.SIGTTOU):
            self._wanted = True
            if self._lend():
                command.signal_tree(signals.SIGCONT, report=False)
        elif by and self._is_lent():
            # Ctrl-Z stopped the command alone, and the shell waits for us. Give the
            # terminal back to the shell by stopping our whole group.
            self._tty.give_to(os.getpgrp())
            self._stop(0, command)

    def _on_stop_key(self, *_: object) -> None:
        """Ctrl-Z went to our group alone; stop the command as well."""
        if self._command is None:
            self._stop_key_came = True
        else:
            self._command.signal_tree(signals.SIGTSTP, report=False)
            self._stop(os.getpid(), self._command)

    def _stop(self, target: int, command: Child) -> None:
        """Stop ourselves; when we are continued, continue the command as well."""
        stop_ourselves(target)
        if self._wanted:
            self._lend()
        command.signal_tree(signals.SIGCONT, report=False)

    # -- which group has the terminal ---------------------------------------------

    def _lend(self) -> bool:
        """Give the command the terminal if we have it; return whether it has it."""
        if self._tty.holder() != os.getpgrp():
            return self._is_lent()
        self._tty.remember_modes()
        self._tty.give_to(self._group_of_command())
        return self._is_lent()

    def _take_back(self) -> None:
        """Take the terminal back after the end of the command."""
        assert self._command is not None
        self._tty.give_to(os.getpgrp())
        returncode = self._command.returncode
        if self.cut_short or returncode is None or returncode < 0:
            self._tty.restore_modes()

    def _is_lent(self) -> bool:
        # Still true after the command's end, until another group gets the terminal:
        # the terminal keeps the number of the group.
        command = self._command
        return command is not None and self._tty.holder() in (self._group, command.pid)

    def _group_of_command(self) -> int:
        """The group that we made for it, or its own: an interactive shell makes one."""
        assert self._command is not None
        if self._command.returncode is None:
            with suppress(ProcessLookupError):
                return os.getpgid(self._command.pid)
        return self._group


def _do_nothing(*_: object) -> None:
    pass
