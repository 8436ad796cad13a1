"""Job control: a child in a group of its own, and the terminal that it may want.

The child's group is no foreground group, so that Ctrl-C comes to us (P3). One that
reads the terminal, or sets its modes, is stopped by the kernel for it (SIGTTIN,
SIGTTOU). That is how we learn that it wants the terminal; and if it is ours to
give, the child gets it and runs on.

All of it happens in signal handlers, and so on any loop: uvloop, for one, lets
nobody else listen to SIGCHLD.
"""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

    from .._processes._child import Child


class Terminal:
    """Our controlling terminal, lent to a child while it wants it.

    Enter it before the child is started; :meth:`watch` the child then.
    """

    def __init__(self, *, foreground: bool) -> None:
        self.cut_short = False  # the child did not end by itself
        self.was_lent = False  # the child had it in the end
        self._foreground = foreground  # the child is in our group, and has it
        self._child: Child | None = None
        self._wanted = False
        self._stop_key_came = False  # before there was a child to stop
        self._modes: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._fd = -1

    def __enter__(self) -> Self:
        # Not ignored, which the child would inherit: caught. Nor may they stop us,
        # or no limit would strike.
        self._handle(signals.SIGTTIN, _do_nothing)
        self._handle(signals.SIGTTOU, _do_nothing)
        if not self._foreground:
            self._handle(signals.SIGTSTP, self._on_stop_key)
            with suppress(OSError):  # there is none
                self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_lent():
            self.was_lent = True
            self._take_back()
        for number, handler in self._handlers.items():
            signals.signal(number, handler)
        if self._fd >= 0:
            os.close(self._fd)

    def watch(self, child: Child) -> None:
        """Lend the terminal to ``child`` when it is stopped for the want of it."""
        self._child = child
        if self._fd >= 0:
            self._handle(signals.SIGCHLD, self._on_child)
            self._on_child()  # it may have stopped by now
        if self._stop_key_came:
            self._on_stop_key()

    def _handle(self, number: int, handler: Any) -> None:
        before = signals.getsignal(number)
        if before != signals.SIG_IGN or number == signals.SIGCHLD:
            self._handlers[number] = before
            signals.signal(number, handler)

    # -- the child wants it, or wants to be stopped ---------------------------

    def _on_child(self, *_: object) -> None:
        """It has stopped, perhaps; its end is none of our business."""
        child = self._child
        try:
            stop = child and os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:  # it has been reaped
            return
        if child is None or not stop:
            return
        if stop.si_status in (signals.SIGTTIN, signals.SIGTTOU):
            self._wanted = True
            if self._lend(child):
                child.signal_tree(signals.SIGCONT, report=False)
        elif self._is_lent():
            # Ctrl-Z went to the child alone, and the shell waits for us: give it
            # the terminal, by stopping with all of our group.
            self._give_to(os.getpgrp())
            self._stop(0, child)

    def _on_stop_key(self, *_: object) -> None:
        """Ctrl-Z went to our group alone."""
        if self._child is None:
            self._stop_key_came = True
        else:
            self._child.signal_tree(signals.SIGTSTP, report=False)
            self._stop(os.getpid(), self._child)

    def _stop(self, whom: int, child: Child) -> None:
        """Stop ourselves, with our group for 0; return when continued.

        At once, where the kernel sees nobody who could continue us: then it does
        not stop us (an orphaned process group).
        """
        handler = signals.signal(signals.SIGTSTP, signals.SIG_DFL)
        os.kill(whom, signals.SIGTSTP)
        signals.signal(signals.SIGTSTP, handler)
        if self._wanted:
            self._lend(child)
        child.signal_tree(signals.SIGCONT, report=False)

    # -- whose it is -----------------------------------------------------------

    def _lend(self, child: Child) -> bool:
        """Whether the child has it; it gets it only if it is ours to give."""
        import termios

        if self._holder() != os.getpgrp():
            return self._is_lent()
        if not self._modes:
            with suppress(termios.error):
                self._modes = termios.tcgetattr(self._fd)
        self._give_to(child.pid)
        return self._is_lent()

    def _take_back(self) -> None:
        """The child is gone, and nobody else has the terminal."""
        assert self._child is not None
        self._give_to(os.getpgrp())
        code = self._child.returncode
        if self._modes and (self.cut_short or code is None or code < 0):
            # It may have had no time to do so itself.
            import termios

            with unstopped(), suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)

    def _is_lent(self) -> bool:
        # True after the child's end, too, until somebody else gets it: its number
        # stays with the terminal, even if it goes to another process meanwhile.
        return self._child is not None and self._holder() == self._child.pid

    def _holder(self) -> int:
        """The terminal's foreground process group; -1 if there is none."""
        try:
            return os.tcgetpgrp(self._fd) if self._fd >= 0 else -1
        except OSError:  # hung up
            return -1

    def _give_to(self, pgid: int) -> None:
        with unstopped(), suppress(OSError):  # hung up, or the group is gone
            os.tcsetpgrp(self._fd, pgid)


@contextmanager
def unstopped() -> Generator[None, None, None]:
    """Use the terminal from the background without being stopped for it.

    Blocked, SIGTTOU lets it pass; caught, it would have it tried again for ever.
    """
    if sys.platform == "win32":
        yield
        return
    before = signals.pthread_sigmask(signals.SIG_BLOCK, [signals.SIGTTOU])
    try:
        yield
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)


def _do_nothing(*_: object) -> None:
    pass
