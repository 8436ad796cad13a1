"""Job control for a program that runs in the foreground of a terminal.

Each of its children has a process group of its own, which is in the background, so that
Ctrl-C comes to us (P3). Without this module, that would have two bad effects. A child
that asks for a password at ``/dev/tty`` is stopped by the kernel, with SIGTTIN or
SIGTTOU, and would never be continued: we lend it the terminal. And Ctrl-Z reaches only
our own group: we stop the children with us, and continue them with us.

All of this happens in signal handlers, because that works the same on every loop, and
only in a program with a controlling terminal. The handler of SIGCHLD stays once it is
set: libuv may have replaced it with its own, which we cannot see and must not remove.

A handler may interrupt another one anywhere, and much can happen before that one goes
on: the shell continues us, we lend the terminal, the child reads its line, and the
next Ctrl-Z stops it. So a handler only notes that there is news, and one loop deals with
it; see :meth:`Foreground._attend`.
"""

from __future__ import annotations

import os
import signal as signals
import sys
import threading
from typing import Any, Protocol
from weakref import WeakSet, ref

from ..._backends import current
from ._tree import caught_signals, group_of
from ._tty import ControllingTerminal, stop_ourselves, stop_signal

_KEYS = ("SIGINT", "SIGQUIT")  # what the keyboard sends to end a program


class Child(Protocol):
    """A child, as far as this module has to know it."""

    @property
    def pid(self) -> int:
        """Its pid, and the number of its group; 0 before it is started."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its status, once its exit has been noticed."""
        ...

    @property
    def sent(self) -> set[int]:
        """The signals that we have sent."""
        ...

    def signal_tree(self, number: int, *, report: bool) -> None:
        """Send a signal to it and to all that is ended with it."""
        ...


class Foreground:
    """Our terminal, and the children that may ask for it."""

    def __init__(self) -> None:
        self._tty = ControllingTerminal()
        # Not a WeakSet: another thread may add one while a handler goes through them.
        self._children: set[ref[Child]] = set()
        self._asking: WeakSet[Child] = WeakSet()  # stopped, because they want it
        self._borrower: Child | None = None
        self._lent_to = -1  # the group of the borrower
        self._before: Any = None  # the handler of SIGCHLD before ours
        # Reentrant: the garbage collector may end a dropped child inside any method.
        self._lock = threading.RLock()
        self._is_attending = False
        self._has_news = False
        self._stop_key_came = False

    def watch(self, child: Child) -> None:
        """Lend ``child`` the terminal. It is about to be started in its own group.

        It has no pid yet: a key that comes during the start must not find us unprepared.
        """
        with self._lock:
            self._children.add(ref(child, self._children.discard))
            if not (self._tty.open() and self._listen()):
                self._children.discard(ref(child))
                self._close_if_unused()

    def started(self, child: Child) -> None:
        """The child has a pid now.

        CPython lets other threads run while it forks. So if this is not the main thread,
        a handler may have found that the child had stopped before its pid was known.
        """
        main = threading.main_thread().ident
        if ref(child) in self._children and not _is_main_thread() and main:
            signals.pthread_kill(main, signals.SIGCHLD)

    def forget(self, child: Child) -> None:
        """The child has ended."""
        if ref(child) not in self._children:
            return
        with self._lock:
            self._children.discard(ref(child))
            self._asking.discard(child)
            self._attend()

    def forked(self) -> None:
        """We are a fork: the children are our parent's, and so are their signals."""
        self._lock = threading.RLock()  # another thread may have held it
        self._is_attending = self._stop_key_came = False
        self._children.clear()
        self._asking.clear()
        self._borrower = None
        self._close_if_unused()

    # -- signals -----------------------------------------------------------

    def _listen(self) -> bool:
        """Handle the signals; false if they are not ours to handle."""
        if signals.getsignal(signals.SIGCHLD) != self._on_child:
            before = signals.getsignal(signals.SIGCHLD)
            if not _is_main_thread() or before is None or before == signals.SIG_IGN:
                return False
            if before == signals.SIG_DFL and _is_caught_in_c(signals.SIGCHLD):
                return False
            self._before = before
            signals.signal(signals.SIGCHLD, self._on_child)
            # When it closes, asyncio's loop resets the handler to SIG_DFL, which would be
            # wrong if there had been another one.
            if before == signals.SIG_DFL:
                current().wake_on_signals()
        if _is_main_thread():
            for number, handler in self._while_open():
                if signals.getsignal(number) == signals.SIG_DFL:
                    signals.signal(number, handler)
        return True

    def _close_if_unused(self) -> None:
        if self._children:
            return
        if _is_main_thread():
            for number, handler in self._while_open():
                if signals.getsignal(number) == handler:
                    signals.signal(number, signals.SIG_DFL)
        self._tty.close()

    def _while_open(self) -> tuple[tuple[int, Any], ...]:
        return (
            (signals.SIGTSTP, self._on_stop_key),
            (signals.SIGCONT, self._on_continue),
        )

    def _on_child(self, number: int, frame: Any) -> None:
        """A child may have stopped, or ended."""
        try:
            if self._children:
                self._attend()
        finally:
            if callable(self._before):
                self._before(number, frame)

    def _on_continue(self, *_: object) -> None:
        self._attend()  # we may have come to the foreground

    def _on_stop_key(self, *_: object) -> None:
        self._stop_key_came = True
        self._attend()

    def _attend(self) -> None:
        """Deal with all news, one after another.

        If a handler comes in between, it leaves its news to the loop that it interrupts.
        """
        with self._lock:  # another thread may be forgetting a child
            self._has_news = True
            while self._has_news and not self._is_attending:
                self._is_attending = True
                try:
                    self._has_news = False
                    self._look()
                finally:
                    self._is_attending = False

    def _look(self) -> None:
        """Look at the state of the children and of this program, and act on it."""
        returned = self._take_back()
        if _is_main_thread():  # where we can stop
            if self._stop_key_came:
                self._stop_key_came = False
                self._stop_all()
            self._look_at_stopped()
        self._lend()
        self._close_if_unused()
        if returned is not None:
            self._share_key(returned)

    def _stop_all(self) -> None:
        """Ctrl-Z went to our group alone; stop the children as well."""
        children = self._started()
        for child in children:
            child.signal_tree(signals.SIGTSTP, report=False)
        stop_ourselves(os.getpid())
        for child in children:
            child.signal_tree(signals.SIGCONT, report=False)

    def _look_at_stopped(self) -> None:
        if not stop_signal(os.P_ALL, 0, os.WNOWAIT):  # usually a child has ended
            return
        for child in self._started():
            by = stop_signal(os.P_PID, child.pid)
            if by in (signals.SIGTTIN, signals.SIGTTOU):
                self._asking.add(child)
            elif by and child is self._borrower:
                # Ctrl-Z stopped the child alone, and the shell waits for us. Give the
                # terminal back to the shell by stopping our whole group.
                self._borrower = None
                self._tty.give_to(os.getpgrp())
                self._asking.add(child)
                stop_ourselves(0)
                if self._tty.holder() != os.getpgrp():  # continued in the background
                    child.signal_tree(signals.SIGCONT, report=False)

    def _started(self) -> list[Child]:
        living = [reference() for reference in tuple(self._children)]
        return [child for child in living if child is not None and child.pid]

    # -- lending -----------------------------------------------------------

    def _lend(self) -> None:
        """Lend the terminal to a child that asks for it, if it is ours to give."""
        for child in tuple(self._asking):
            if self._tty.holder() != os.getpgrp():
                return
            self._asking.discard(child)
            group = group_of(child.pid)  # an interactive shell makes itself a leader
            if group < 0 or _exit_of(child) is not None:
                continue
            self._tty.remember_modes()
            self._borrower, self._lent_to = child, group
            self._tty.give_to(group)
            child.signal_tree(signals.SIGCONT, report=False)

    def _take_back(self) -> Child | None:
        """Take the terminal back from a child that has ended, and return this child."""
        child = self._borrower
        if child is None:
            return None
        exit_status = _exit_of(child)
        if exit_status is None and ref(child) in self._children:
            return None
        self._borrower = None
        if self._tty.holder() in (self._lent_to, child.pid):
            self._tty.give_to(os.getpgrp())
        if exit_status is None or exit_status < 0:
            self._tty.restore_modes()
        else:
            self._tty.forget_modes()
        return child

    def _share_key(self, child: Child) -> None:
        """If a key has ended the child that had the terminal, signal ourselves too (P3).

        The key's signal went to the child's group alone. Without the loan, we would have
        received it as well.
        """
        exit_status = _exit_of(child)
        for number in (getattr(signals, name) for name in _KEYS):
            if exit_status == -number and number not in child.sent:
                os.killpg(os.getpgrp(), number)


def _exit_of(child: Child) -> int | None:
    """Its status if it has ended, without reaping it; 255 if that is unknown."""
    if child.returncode is not None:
        return child.returncode
    try:
        found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 255
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_caught_in_c(number: int) -> bool:
    """Whether a library written in C has a handler, of which Python does not know.

    Call this only for a signal that has no handler in Python.
    """
    caught = caught_signals()
    if caught is None:  # there is no /proc: assume it only of libuv
        return "uvloop" in sys.modules
    return bool(caught >> (number - 1) & 1)


foreground = Foreground()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=foreground.forked)
