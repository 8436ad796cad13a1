"""A job on a real terminal, under a program that acts as the shell of its session."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x04", b"\x1a", b"\x1c"

# What a shell with job control does for one job. It reports when the job stops or
# ends, and continues it in the foreground or in the background on request.
SHELL = """
import fcntl, os, signal, sys, termios
tell, orders, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def lend(group):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(0, group)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGPIPE, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
if not (job := os.fork()):
    os.setpgid(0, 0)
    if where == "foreground":
        lend(os.getpid())
    os.execvp(sys.argv[4], sys.argv[4:])
os.write(tell, b"job %d\\n" % job)
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    robbed = where == "background" and os.tcgetpgrp(0) != os.getpgrp()
    lend(os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    os.write(tell, b"stopped\\n")
    where = os.read(orders, 100).decode()
    if where == "foreground":
        lend(job)
    os.killpg(job, signal.SIGCONT)
ended = "killed %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else (
    "exited %d" % os.WEXITSTATUS(status))
os.write(tell, (ended + ", robbed" * robbed).encode() + b"\\n")
"""


class Session:
    """A terminal, a shell on it, and one job of the shell's."""

    def __init__(self, command: list[str], where: str) -> None:
        self.keyboard, self.screen = pty.openpty()
        self.modes = termios.tcgetattr(self.screen)
        self.shown = b""
        self._told, tell = os.pipe()
        orders, self._orders = os.pipe()
        self.shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, str(tell), str(orders), where, *command],
            stdin=self.screen,
            stdout=self.screen,
            stderr=self.screen,
            start_new_session=True,
            pass_fds=[tell, orders],
        )
        os.close(tell)
        os.close(orders)
        self._lines = os.fdopen(self._told)
        self.job = int(self.told().split()[1])

    def told(self) -> str:
        """The shell's next report; empty once the shell and the job are gone."""
        line = self._lines.readline().strip()
        self._over = line.startswith(("exited", "killed"))
        return line

    def sees(self, words: str) -> str:
        """Wait for the line with ``words`` on the screen; return its rest."""
        wanted = words.encode()
        while wanted not in self.shown or b"\n" not in self.shown.split(wanted)[-1]:
            self.shown += os.read(self.keyboard, 4096)
        self.shown = self.shown.partition(wanted)[2]
        line, _, self.shown = self.shown.partition(b"\n")
        return line.decode().strip()

    def types(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def continues(self, where: str = "foreground") -> None:
        os.write(self._orders, where.encode())

    def hangs_up(self) -> None:
        os.close(self.screen)
        os.close(self.keyboard)
        self.screen = self.keyboard = -1

    def close(self) -> None:
        self.shell.kill()
        if not self._over:  # otherwise its pid could have been reused
            with suppress(ProcessLookupError):
                os.killpg(self.job, signal.SIGKILL)
        self.shell.wait()
        self._lines.close()
        os.close(self._orders)
        if self.screen >= 0:
            self.hangs_up()


@contextmanager
def session(*command: str, where: str = "foreground") -> Iterator[Session]:
    opened = Session(list(command), where)
    try:
        yield opened
    finally:
        opened.close()
