"""The three files of a child, and our ends of those that are pipes."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import msvcrt
import os
import subprocess
from contextlib import suppress
from typing import Any

from ._handles import Handles
from ._pipes import make_pipe

_STANDARD = {
    "stdin": _winapi.STD_INPUT_HANDLE,
    "stdout": _winapi.STD_OUTPUT_HANDLE,
    "stderr": _winapi.STD_ERROR_HANDLE,
}


class Files:
    """What a child gets as stdin, stdout and stderr; the attributes are as on POSIX."""

    def __init__(
        self, held: Handles, stdin: Any, stdout: Any, stderr: Any, size: int | None
    ) -> None:
        self._held = held
        self._size = size
        self._theirs: list[int] = []
        self._handed_over: list[Any] = []  # streams of other children
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        try:
            given: list[int] = []
            for name, target in zip(_STANDARD, (stdin, stdout, stderr), strict=True):
                given.append(self._open(name, target, given))
        except BaseException:
            self.failed()
            raise
        self.for_child: tuple[int, int, int] = (given[0], given[1], given[2])

    def close_stdin(self, fd: int) -> None:
        """Close our end of its stdin, so that the child sees the end of its input."""
        self._held.close(fd)

    def started(self) -> None:
        """The child has its own ends now: close our copies of them."""
        for handle in self._theirs:
            self._held.close(handle)
        for stream in self._handed_over:
            stream.close()

    def failed(self) -> None:
        """The child was not started: give streams of other children back."""
        for stream in self._handed_over:
            stream.take_back()

    def _open(self, name: str, target: Any, given: list[int]) -> int:
        if target == subprocess.PIPE:
            ours, theirs = make_pipe(
                self._held, reading=name != "stdin", size=self._size
            )
            setattr(self, name, ours)
            self._theirs.append(theirs)
            return self._inheritable(theirs)
        if target == subprocess.STDOUT:
            return given[1]
        if target is None:
            own = _winapi.GetStdHandle(_STANDARD[name])
            with suppress(OSError):  # a program without a console may have none
                return self._inheritable(own or 0)
            return self._null()
        if target == subprocess.DEVNULL:
            return self._null()
        if hasattr(target, "hand_over"):  # P20: the output of another child
            self._handed_over.append(target)
            return self._inheritable(target.hand_over())
        fd = target if isinstance(target, int) else target.fileno()
        return self._inheritable(msvcrt.get_osfhandle(fd))

    def _null(self) -> int:
        fd = os.open(os.devnull, os.O_RDWR)
        try:
            return self._inheritable(msvcrt.get_osfhandle(fd))
        finally:
            os.close(fd)

    def _inheritable(self, handle: int) -> int:
        us = _winapi.GetCurrentProcess()
        copy = self._held.open(
            _winapi.DuplicateHandle,
            *(us, handle, us, 0, True, _winapi.DUPLICATE_SAME_ACCESS),
        )
        self._theirs.append(copy)
        return copy
