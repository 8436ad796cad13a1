"""The arguments and options for a child, checked before anything is started (P2)."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

import codecs
import os
import reprlib
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ._options import CommandOptions, PopenOptions

if TYPE_CHECKING:
    from ._options import Word

# Why these options are not possible on Windows.
_POSIX = {
    "start_new_session": "there are no sessions; the child has a process group",
    "preexec_fn": "no Python code runs in the child before the program",
    "umask": "there is no umask",
    "user": "a program cannot change to another user without a password",
    "group": "processes have no user groups",
    "extra_groups": "processes have no user groups",
    "pass_fds": "only stdin, stdout and stderr can be passed",
}

# The options that are passed on; all others are refused.
_ELSEWHERE = {"creationflags"} if sys.platform != "win32" else set[str]()
_PASSED = PopenOptions.__optional_keys__ - _ELSEWHERE | {"cwd", "env"}

# The types that stand for text in a command and its environment.
_WORDS = str, bytes, os.PathLike

# Options whose mistakes would otherwise be found late, in words that do not name them:
# a test of the value, and what to give.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "executable": (lambda value: isinstance(value, _WORDS), "a path"),
    "preexec_fn": (callable, "a function that takes no arguments"),
    "pass_fds": (lambda value: _are_ints(value), "a list of file descriptors"),
    "umask": (
        lambda value: _are_ints([value]) and -1 <= value <= 0o777,
        "a number from 0 to 0o777, or -1 to inherit yours",
    ),
    "extra_groups": (
        lambda value: isinstance(value, Iterable) and not isinstance(value, str),
        "a list of names and numbers",
    ),
}

# What to do instead of each option that is refused.
_REFUSED = {
    "shell": 'there is no shell; run one by name: "sh", "-c", script',
    "args": "give the program and its arguments by position, one by one",
    "bufsize": "streams are not buffered",
    "capture_output": "run() captures stdout and stderr unless told otherwise",
    "check": "run() has it; after process(), look at returncode",
    "encoding": "process() and run(text=True) have it",
    "errors": "process() and run(text=True) have it",
    "creationflags": "it is an option on Windows",
    "input": "run() has it; after process(), write to its stdin",
    "max_output": "run() has it",
    "pty": "process() has it",
    "process_group": "Stop(tree=...) says whether the child gets a group of its own",
    "text": "run() has it; process() yields text lines and streams of bytes",
    "timeout": "run() has it; for process(), use a block: with within.timeout(seconds)",
    "universal_newlines": "see encoding= of process() and text= of run()",
}


class Command(NamedTuple):
    """A command whose arguments and options have all been checked."""

    args: tuple[str | bytes, ...]
    options: CommandOptions
    pipe_size: int | None = None  # in bytes
    terminal: tuple[int, int] | None = None  # rows and columns of its own terminal


def check_command(args: tuple[Any, ...], options: Mapping[str, Any]) -> Command:
    """Check a command; return it, or raise an error that says what is wrong."""
    check_system()
    if sys.platform == "win32":
        _refuse_posix_options(options)
    for name, value in options.items():
        if name not in _PASSED:
            hint = _REFUSED.get(name, "see within.process() for the options")
            raise TypeError(f"{name}= is not an option here: {hint}")
        if value is not None and name in _VALUES:
            is_valid, way_out = _VALUES[name]
            if not is_valid(value):
                raise TypeError(f"{name} is {value!r}: give {way_out}")
    if not args:
        raise ValueError("no command: give the program and its arguments, one by one")
    checked = tuple(_check_word(arg, place) for place, arg in enumerate(args))
    if not checked[0]:
        raise ValueError("the program is empty: give its name or path")
    _check_env(options.get("env"))
    if (cwd := options.get("cwd")) is not None and not isinstance(cwd, _WORDS):
        raise TypeError(
            f"cwd is {cwd!r}: give a path, or None for the current directory"
        )
    passed = {name: value for name, value in options.items() if value is not None}
    size = passed.pop("pipesize", None)
    if size is not None and (type(size) is not int or not 0 < size < 1 << 31):
        raise ValueError(f"pipesize is {size!r}: give a number of bytes, or None")
    return Command(checked, cast("CommandOptions", passed), size)


def _refuse_posix_options(options: Mapping[str, Any]) -> None:
    for name, why in _POSIX.items():
        value = options.get(name)
        if value is not None and value is not False and value not in ((), [], -1):
            raise NotImplementedError(f"{name}= is not possible on Windows: {why}")


def check_system() -> None:
    """Raise ``NotImplementedError`` if we cannot wait for children, as on PyPy."""
    if sys.platform == "win32" or hasattr(os, "waitid"):
        return  # waitid() reports an exit without reaping
    import platform

    raise NotImplementedError(
        f"child processes need os.waitid(), which this {sys.implementation.name} "
        f"{platform.python_version()} does not have (CPython has it, on macOS since "
        "3.13)"
    )


def explain_missing(error: FileNotFoundError, args: tuple[str | bytes, ...]) -> None:
    """Add a note with the remedy, if a whole command line was given as the program."""
    program = os.fsdecode(args[0])
    if len(args) == 1 and " " in program.strip() and not os.path.exists(program):
        words = ", ".join(repr(word) for word in program.split())
        error.add_note(
            f"the program and its arguments are given one by one, as in ({words}); for "
            f'a shell, give ("sh", "-c", {program!r})'
        )


def check_files(stdin: Any, stdout: Any, stderr: Any) -> None:
    """Raise an error for anything that cannot be a file of a child."""
    for name, file in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        if check := getattr(file, "_check_given_as", None):  # a stream of a process
            check(name)
        if file == subprocess.STDOUT and name != "stderr":
            raise ValueError(f"{name}=STDOUT makes no sense: give it as stderr only")
        if isinstance(file, int) and not isinstance(file, bool):
            if file < subprocess.DEVNULL:
                raise ValueError(f"{name} is {file!r}: there is no such descriptor")
        elif file is not None and not hasattr(file, "fileno"):
            if name == "stdin" and isinstance(file, str | bytes | bytearray):
                raise TypeError(
                    f"stdin is {reprlib.repr(file)}: pass the input of a command as "
                    "input= of run(), or write it with write() after process()"
                )
            stream = ", the stdout of another process" if name == "stdin" else ""
            raise TypeError(
                f"{name} is {file!r}: give PIPE, DEVNULL, a descriptor, an open file"
                f"{stream} or None to inherit yours"
            )


def check_text(encoding: str, errors: str) -> None:
    """Raise an error for an unknown codec or error handler, before a start."""
    for name, value in (("encoding", encoding), ("errors", errors)):
        given: Any = value
        if not isinstance(given, str):
            raise TypeError(f"{name} is {given!r}: give its name, as text")
    "".encode(encoding)  # unlike codecs.lookup(), this refuses "hex" and the like
    codecs.lookup_error(errors)


def _check_env(env: Any) -> None:
    if env is None:
        return
    if not isinstance(cast("object", env), Mapping):
        raise TypeError(
            f"env is of type {type(env).__name__}: give a mapping of names to values, "
            "or None to inherit yours"
        )
    for name, value in env.items():
        if not isinstance(name, _WORDS):
            raise TypeError(f"env has the name {name!r}: give text for all names")
        if not isinstance(value, _WORDS):
            # The value may be a secret.
            raise TypeError(
                f"env[{name!r}] is of type {type(value).__name__}: give text for all "
                "names and values"
            )


def _are_ints(values: object) -> bool:
    return isinstance(values, Collection) and all(
        isinstance(value, int) and not isinstance(value, bool)
        for value in cast("Collection[object]", values)
    )


def _check_word(arg: "Word", place: int) -> str | bytes:
    what = f"argument {place}" if place else "the program"
    try:
        word = os.fspath(arg)
    except TypeError:
        raise TypeError(
            f"{what} is {arg!r}: give str, bytes or a path, each argument by itself "
            "(*command for a list)"
        ) from None
    if ("\0" if isinstance(word, str) else b"\0") in word:  # type: ignore[operator]
        raise ValueError(f"{what} is {word!r}: a NUL cannot be passed to a program")
    return word
