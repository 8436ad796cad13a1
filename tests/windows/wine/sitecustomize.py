"""Wine 8 lacks some calls of Windows. Every Python of the tests under Wine loads this.

It is for these tests alone: `./dev windows` puts this folder on the path of the Python
that it sets up. On real Windows nothing of this is used.

- Wine does not answer what trio asks about its sockets (SIO_BASE_HANDLE,
  SIO_BSP_HANDLE_SELECT): they have no layers, and stand for themselves.
- Wine does not have GenerateConsoleCtrlEvent(). In its place we start, in the process
  that is to get CTRL_BREAK_EVENT, the thread by which Windows delivers it: at
  CtrlRoutine() of kernelbase.dll. In a process group of its own Wine would ignore it.
- Programs under Wine see Linux' /proc, but the numbers in it are not theirs.
- Wine aborts a program that asks for the version of Windows through WMI, as the module
  platform does since 3.12. Without _wmi it asks in another way.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def _mend_trio(module: Any) -> None:
    ask = module._get_underlying_socket

    def answer(sock: Any, **which: Any) -> Any:
        try:
            return ask(sock, **which)
        except OSError:
            number = sock.fileno() if hasattr(sock, "fileno") else sock
            return module.Handle(module._handle(number))

    module._get_underlying_socket = answer


def send_event(pid: int, event: int) -> bool:
    """Have a process handle CTRL_C_EVENT (0) or CTRL_BREAK_EVENT (1)."""
    import _winapi
    import ctypes
    from ctypes import wintypes

    all_access = 0x1F_FFFF
    start = ctypes.WinDLL("kernel32").CreateRemoteThread
    start.restype = wintypes.HANDLE
    start.argtypes = [
        wintypes.HANDLE,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
        wintypes.DWORD,
        ctypes.c_void_p,
    ]
    routine = ctypes.WinDLL("kernelbase").CtrlRoutine
    try:
        process = _winapi.OpenProcess(all_access, False, pid)
    except OSError:
        return False
    address = ctypes.cast(routine, ctypes.c_void_p).value
    thread = start(process, None, 0, address, event, 0, None)
    _winapi.CloseHandle(process)
    if thread:
        _winapi.CloseHandle(thread)
    return bool(thread)


def _mend_kernel(module: Any) -> None:
    module.send_break = lambda group: send_event(group, 1)


def _mend_start(module: Any) -> None:
    module._NEW_GROUP = 0


def _mend_threads(module: Any) -> None:
    module.CAN_SEE_THREADS = False


_MENDERS = {
    "trio._core._io_windows": _mend_trio,
    "within._processes._windows._kernel": _mend_kernel,
    "within._processes._windows._start": _mend_start,
    "within.testing._threads": _mend_threads,
}


class _Finder:
    """Finds these modules as usual, and mends each once it is loaded."""

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        mend = _MENDERS.get(name)
        if mend is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            load = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                mend(module)

            loader.exec_module = exec_module
        return spec


sys.modules["_wmi"] = None  # type: ignore[assignment]
sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
