"""Programs for the children of these tests, and what the tests ask of the system.

The programs are in Python, the one language that is certain to be there. No test waits
for a delay: it hears from its child through a pipe, and asks the system whether a
process has ended.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import within
from within import Stop

if sys.platform == "win32":
    import _winapi
    import ctypes

    from within._processes._windows._kernel import has_ended, open_process

# The Proactor loop, trio, and the selector loop, which has no pipes of its own.
LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "proactor": ("asyncio", {}),
    "trio": ("trio", {}),
    "selector": ("asyncio", {"loop_factory": asyncio.SelectorEventLoop}),
}

QUICK = Stop(grace=0.05)
FOREVER = "import time; time.sleep(600)"


def python(program: str) -> tuple[str, ...]:
    """The command that runs a program; its output is not buffered."""
    return (sys.executable, "-u", "-X", "utf8", "-c", program)


async def long_enough() -> float:
    """Seconds in which a program has certainly begun, on a machine as busy as now."""
    began = time.monotonic()
    await within.run(*python("pass"))
    return 1 + 4 * (time.monotonic() - began)


def is_wine() -> bool:
    """Whether this is Wine, which reports no times or memory of other processes."""
    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


class Watched:
    """A process that is not ours, held by its handle, so its number is not reused."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = open_process(pid)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            _winapi.CloseHandle(self._handle)

    def is_dead(self) -> bool:
        return has_ended(self._handle)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        result = _winapi.WaitForSingleObject(self._handle, int(seconds * 1000))
        return result == _winapi.WAIT_OBJECT_0


# Starts three of its own, prints the numbers of all four, and waits. The second one is
# in a group of its own without a console; the third is meant to be outside the job, which
# the system refuses, so it is started without that.
FAMILY = f"""
import os, subprocess, sys
def start(flags):
    return subprocess.Popen([sys.executable, "-c", {FOREVER!r}], creationflags=flags)
detached = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
children = [start(0), start(detached)]
try:
    children.append(start(subprocess.CREATE_BREAKAWAY_FROM_JOB))
except PermissionError:
    children.append(start(0))
print(*[child.pid for child in children], os.getpid())
children[0].wait()
"""


def is_gone(pid: int) -> bool:
    """Whether a process that was ended before has ended."""
    try:
        return Watched(pid).is_dead()
    except OSError:
        return True


async def line(child: within.Process) -> str:
    async for found in child:
        return found.strip()
    raise EOFError


async def family(child: within.Process) -> list[Watched]:
    return [Watched(int(pid)) for pid in (await line(child)).split()]


# What a child does that handles CTRL_BREAK_EVENT: `asked(event)` is called, in a thread.
# (signal.SIGBREAK would do as well, but Wine's C library does not know it.)
HANDLER = """
import ctypes, os, sys, time
def handle(asked):
    kind = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)
    handle.kept = kind(asked)
    ctypes.windll.kernel32.SetConsoleCtrlHandler(handle.kept, 1)
"""


def handles() -> int:
    """How many handles this program has open."""
    found = ctypes.c_uint32()
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetProcessHandleCount.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    kernel.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(found))
    return found.value
