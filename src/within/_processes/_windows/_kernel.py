"""The calls of Windows that the standard library does not offer, declared for ctypes."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import ctypes
from ctypes import wintypes
from typing import Any

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)

INFINITE = 0xFFFFFFFF

# The exit status of a process that we end, as Popen.kill() has it.
KILLED = 1

_CTRL_BREAK = 1
_SYNCHRONIZE = 0x0010_0000
_QUERY_LIMITED = 0x1000
_EXTENDED_LIMITS = 9
_ACCOUNTING = 1
_PROCESS_LIST = 3
_MORE_DATA = 234

# Limits of a job: see JOBOBJECT_BASIC_LIMIT_INFORMATION.
KILL_ON_JOB_CLOSE = 0x2000
SILENT_BREAKAWAY_OK = 0x1000


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", wintypes.DWORD),
        ("scheduling", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class _Accounting(ctypes.Structure):
    _fields_ = (
        ("user_time", ctypes.c_int64),
        ("kernel_time", ctypes.c_int64),
        ("this_period_user_time", ctypes.c_int64),
        ("this_period_kernel_time", ctypes.c_int64),
        ("page_faults", wintypes.DWORD),
        ("processes", wintypes.DWORD),
        ("active_processes", wintypes.DWORD),
        ("terminated_processes", wintypes.DWORD),
    )


class _MemoryCounters(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("page_faults", wintypes.DWORD),
        ("peak_working_set", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 7),
    )


def _declared(name: str, *arguments: Any, returns: Any = wintypes.BOOL) -> Any:
    function = getattr(_kernel32, name)
    function.argtypes = arguments
    function.restype = returns
    return function


_H, _DWORD, _POINTER = wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p
_assign = _declared("AssignProcessToJobObject", _H, _H)
_create_job = _declared("CreateJobObjectW", _POINTER, wintypes.LPCWSTR, returns=_H)
_ctrl_event = _declared("GenerateConsoleCtrlEvent", _DWORD, _DWORD)
_console_processes = _declared(
    "GetConsoleProcessList", _POINTER, _DWORD, returns=_DWORD
)
_memory = _declared("K32GetProcessMemoryInfo", _H, _POINTER, _DWORD)
_times = _declared("GetProcessTimes", _H, *[_POINTER] * 4)
_query_job = _declared(
    "QueryInformationJobObject", _H, ctypes.c_int, _POINTER, _DWORD, _POINTER
)
_resume = _declared("ResumeThread", _H, returns=_DWORD)
_set_job = _declared("SetInformationJobObject", _H, ctypes.c_int, _POINTER, _DWORD)
_terminate_job = _declared("TerminateJobObject", _H, wintypes.UINT)


def _check(success: int) -> None:
    if not success:
        raise ctypes.WinError(ctypes.get_last_error())


def close_handle(handle: int) -> None:
    """Close any handle."""
    _winapi.CloseHandle(handle)


# -- jobs ----------------------------------------------------------------------


def create_job(flags: int) -> int:
    """A new job object with these limits. Nothing inherits its handle."""
    job = _create_job(None, None)
    _check(job)
    try:
        _set_flags(job, flags)
    except BaseException:
        close_handle(job)
        raise
    return int(job)


def free_job(job: int) -> None:
    """Let the processes in the job live on when its last handle is closed."""
    _set_flags(job, 0)


def _set_flags(job: int, flags: int) -> None:
    limits = _ExtendedLimits()
    limits.basic.flags = flags
    _check(_set_job(job, _EXTENDED_LIMITS, ctypes.byref(limits), _size(limits)))


def assign(job: int, process: int) -> None:
    """Put a process into a job, from which it cannot get out again."""
    _check(_assign(job, process))


def terminate_job(job: int) -> None:
    """End every process in the job."""
    _terminate_job(job, KILLED)


def processes_of(job: int) -> list[int]:
    """The ids of the living processes in the job."""
    room = 64
    first = 8 // ctypes.sizeof(ctypes.c_size_t)
    while True:
        # Two numbers, how many there are and how many are listed, and then the list.
        found = (ctypes.c_size_t * (first + room))()
        good = _query_job(job, _PROCESS_LIST, ctypes.byref(found), _size(found), None)
        if not good and ctypes.get_last_error() != _MORE_DATA:
            _check(good)
        counts = (wintypes.DWORD * 2).from_buffer(found)
        if good and counts[0] <= counts[1]:
            return list(found[first : first + counts[1]])
        room = max(2 * room, counts[0])


def times_of_job(job: int) -> tuple[float, float]:
    """(user, system) CPU time, in seconds, of all that was ever in the job."""
    found = _Accounting()
    _check(_query_job(job, _ACCOUNTING, ctypes.byref(found), _size(found), None))
    return found.user_time / 1e7, found.kernel_time / 1e7


# -- processes -----------------------------------------------------------------


def resume(thread: int) -> None:
    """Let a process that was started suspended run; ``thread`` is its first thread."""
    if _resume(thread) == 0xFFFFFFFF:
        raise ctypes.WinError(ctypes.get_last_error())


def open_process(pid: int) -> int:
    """A handle for looking at a process and for waiting for its end."""
    return _winapi.OpenProcess(_SYNCHRONIZE | _QUERY_LIMITED, False, pid)


def has_ended(process: int) -> bool:
    """Whether a process has ended."""
    return _winapi.WaitForSingleObject(process, 0) == _winapi.WAIT_OBJECT_0


def times_of(process: int) -> tuple[float, float]:
    """(user, system) CPU time of a process, in seconds."""
    times = (ctypes.c_uint64 * 4)()  # created, ended, kernel, user
    at = ctypes.addressof(times)
    _check(_times(process, at, at + 8, at + 16, at + 24))
    return times[3] / 1e7, times[2] / 1e7


def peak_memory(process: int) -> int:
    """The peak of its resident memory, in bytes."""
    found = _MemoryCounters()
    found.size = _size(found)
    _check(_memory(process, ctypes.byref(found), found.size))
    return int(found.peak_working_set)


# -- the console ---------------------------------------------------------------


def send_break(group: int) -> bool:
    """Send CTRL_BREAK_EVENT to a process group of our console; false if that failed.

    It fails where we have no console, or the group is on another one.
    """
    return bool(_ctrl_event(_CTRL_BREAK, group))


def has_console() -> bool:
    """Whether this program has a console, which its children share."""
    return bool(_console_processes((_DWORD * 1)(), 1))


def _size(structure: Any) -> int:
    return ctypes.sizeof(structure)
