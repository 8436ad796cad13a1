"""What may be asked of a child, checked before anything is started (P2)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._stop import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    Word = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# Options of subprocess.Popen that are passed on. The others are refused, each
# with the way out where there is one.
_PASSED = frozenset(
    {
        "cwd",
        "env",
        "executable",
        "close_fds",
        "pass_fds",
        "pipesize",
        "restore_signals",
        "start_new_session",
        "preexec_fn",
        "umask",
        "user",
        "group",
        "extra_groups",
    }
)
_REFUSED = {
    "shell": 'there is no shell; run one by name: "sh", "-c", script',
    "args": "the command is given by position, one argument each",
    "bufsize": "streams are not buffered",
    "universal_newlines": "see encoding= of process() and text= of run()",
    "text": "run() has it; process() yields text lines and streams of bytes",
    "encoding": "process() has it; run(text=True) decodes UTF-8",
    "errors": "process() has it; run(text=True) is strict",
    "process_group": "Stop(tree=...) says whether the child gets a group of its own",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose every part has been looked at."""

    args: tuple[str | bytes, ...]
    options: Mapping[str, Any]
    pipe_size: int | None = None  # in bytes


def check_command(args: tuple[Any, ...], options: Mapping[str, Any]) -> Command:
    """The command that was asked for, or the error that says what is wrong."""
    if sys.platform == "win32":
        raise NotImplementedError(
            "child processes need POSIX: on Windows within has its timeouts only"
        )
    if not hasattr(os, "waitid"):  # by which we hear of an exit without reaping
        raise NotImplementedError(
            "child processes need os.waitid(), which CPython has on macOS since 3.13"
        )
    for name in options:
        if name not in _PASSED:
            hint = _REFUSED.get(name, "see subprocess.Popen for those there are")
            raise TypeError(f"{name}= is not an option of a process: {hint}")
    if not args:
        raise ValueError("no command: give the program and its arguments, one by one")
    checked = tuple(_check_word(arg, place) for place, arg in enumerate(args))
    if not checked[0]:
        raise ValueError("the program is empty: give its name or path")
    passed = {name: value for name, value in options.items() if value is not None}
    size = passed.pop("pipesize", None)
    if size is not None and (type(size) is not int or not 0 < size < 1 << 31):
        raise ValueError(f"pipesize is {size!r}: give a number of bytes, or None")
    return Command(checked, passed, size)


def check_files(stdin: Any, stdout: Any, stderr: Any) -> None:
    """The error for what can be no file of a child."""
    for name, file in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        if file == subprocess.STDOUT and name != "stderr":
            raise ValueError(f"{name}=STDOUT makes no sense: it is for stderr")
        if isinstance(file, int) and not isinstance(file, bool):
            if file < subprocess.DEVNULL:
                raise ValueError(f"{name} is {file!r}: there is no such descriptor")
        elif file is not None and not hasattr(file, "fileno"):
            raise TypeError(
                f"{name} is {file!r}: give PIPE, DEVNULL, a descriptor, an open file "
                "or None for our own"
            )


def check_stop(stop: object) -> None:
    """The error for what is no :class:`Stop`."""
    if not isinstance(stop, Stop):
        raise TypeError(f"stop is {stop!r}: give within.Stop(...)")


def _check_word(arg: Word, place: int) -> str | bytes:
    what = f"argument {place}" if place else "the program"
    try:
        word = os.fspath(arg)
    except TypeError:
        raise TypeError(
            f"{what} is {arg!r}: give str, bytes or a path, each argument by itself "
            "(process(*command) for a list)"
        ) from None
    if ("\0" if isinstance(word, str) else b"\0") in word:  # type: ignore[operator]
        raise ValueError(f"{what} is {word!r}: a NUL cannot be passed to a program")
    return word


class Pipes:
    """The pipes of one start: their ends for the child and for us.

    Made here and not by Popen, so that each is ours from its first moment, and
    closed whatever fails after it.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size  # in bytes, where the system lets one choose
        self._for_child: list[int] = []
        self._for_us: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.started()
        while self._for_us:
            os.close(self._for_us.pop())

    def to_child(self, target: Any) -> tuple[Any, int | None]:
        """(what Popen gets as stdin, the end that we write to)."""
        if target != subprocess.PIPE:
            return target, None
        return self._open(reading=False)

    def from_child(self, target: Any) -> tuple[Any, int | None]:
        """(what Popen gets as stdout or stderr, the end that we read from)."""
        if target != subprocess.PIPE:
            return target, None
        return self._open(reading=True)

    def started(self) -> None:
        """The child has its ends now; we keep ours."""
        while self._for_child:
            os.close(self._for_child.pop())

    def handed_over(self) -> None:
        """Our ends belong to somebody else now."""
        self._for_us.clear()

    def close(self, fd: int) -> None:
        """Close one end of ours."""
        if fd in self._for_us:
            self._for_us.remove(fd)
            os.close(fd)

    def _open(self, *, reading: bool) -> tuple[int, int]:
        readable, writable = os.pipe()
        theirs, ours = (writable, readable) if reading else (readable, writable)
        self._for_child.append(theirs)
        self._for_us.append(ours)
        os.set_blocking(ours, False)
        if self._size is not None:
            import fcntl  # not on Windows, which check_command() refuses

            if set_size := getattr(fcntl, "F_SETPIPE_SZ", 0):
                fcntl.fcntl(ours, set_size, self._size)
        return theirs, ours
