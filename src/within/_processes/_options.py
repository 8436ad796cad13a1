"""The types of what a child can be given."""

# No `from __future__ import annotations`: TypedDict would compile each annotation.

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Literal, Protocol, TypedDict

from ._plan import Stop

# The same values as in subprocess, where type checkers only see an int. With these
# types, they know that a file which is PIPE becomes a stream of the process.
PIPE: Final[Literal[-1]] = -1
STDOUT: Final[Literal[-2]] = -2
DEVNULL: Final[Literal[-3]] = -3

Pipe = Literal[-1]

Word = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class HasFileno(Protocol):
    """An open file, a socket, or a stream of another :class:`Process`."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


File = int | HasFileno | None

# stdin, stdout and stderr.
ThreeFiles = tuple[File, File, File]

# One of the two outputs of a child.
Source = Literal["stdout", "stderr"]


class PopenOptions(TypedDict, total=False):
    """Options that mean the same as for :class:`subprocess.Popen`."""

    executable: Word | None
    close_fds: bool
    pass_fds: Collection[int]
    pipesize: int | None
    restore_signals: bool
    start_new_session: bool
    preexec_fn: Callable[[], object] | None
    umask: int
    user: str | int | None
    group: str | int | None
    extra_groups: Iterable[str | int] | None
    creationflags: int  # on Windows


class CommandOptions(PopenOptions, total=False):
    """The options of a child that is about to be started.

    Users cannot give the last three. ``Child`` of POSIX says what they mean.
    """

    cwd: Word | None
    env: Mapping[str, str] | None
    process_group: int
    adopts_orphans: bool
    keep_signal_mask: bool


class ProcessOptions(PopenOptions, total=False):
    """The options of :func:`process`, except ``stdin``, ``stdout`` and ``stderr``."""

    pty: bool | tuple[int, int]
    cwd: Word | None
    env: Mapping[str, str] | None
    stop: Stop
    encoding: str
    errors: str
    max_line: int | None
