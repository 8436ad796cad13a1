"""The three files of a child, and our ends of those that are pipes."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import msvcrt
import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from .._descriptors import Descriptors
from .._files import BaseFiles, output_behind
from ._handles import Handles
from ._pipes import make_pipe, write

if TYPE_CHECKING:
    from .._options import File

_STANDARD = {
    "stdin": _winapi.STD_INPUT_HANDLE,
    "stdout": _winapi.STD_OUTPUT_HANDLE,
    "stderr": _winapi.STD_ERROR_HANDLE,
}


class Files(BaseFiles):
    """What a child gets as stdin, stdout and stderr."""

    def __init__(
        self, held: Handles, stdin: File, stdout: File, stderr: File, size: int | None
    ) -> None:
        super().__init__(held)
        self._handles = held
        self._size = size
        try:
            given: list[int] = []
            for name, target in zip(_STANDARD, (stdin, stdout, stderr), strict=True):
                given.append(self._open(name, target, given))
        except BaseException:
            self.failed()
            raise
        self.for_child: tuple[int, int, int] = (given[0], given[1], given[2])

    def write_stdin(self, fd: int, data: memoryview) -> int:
        """Write what its stdin takes without waiting; return the number of bytes."""
        return write(fd, data)

    def _open(self, name: str, target: File, given: list[int]) -> int:
        if target == subprocess.PIPE:
            ours, theirs = make_pipe(
                self._handles, reading=name != "stdin", size=self._size
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
        if (output := output_behind(target)) is not None:
            self._handed_over.append(output)
            return self._inheritable(output.hand_over())
        fd = target if isinstance(target, int) else target.fileno()
        return self._inheritable(msvcrt.get_osfhandle(fd))

    def _null(self) -> int:
        with Descriptors() as opened:
            fd = opened.open(os.open, os.devnull, os.O_RDWR)
            return self._inheritable(msvcrt.get_osfhandle(fd))

    def _inheritable(self, handle: int) -> int:
        us = _winapi.GetCurrentProcess()
        copy = self._held.open(
            _winapi.DuplicateHandle,
            *(us, handle, us, 0, True, _winapi.DUPLICATE_SAME_ACCESS),
        )
        self._theirs.append(copy)
        return copy
