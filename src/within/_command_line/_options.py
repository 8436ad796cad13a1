"""Parsing the command line: options, durations, signals, and the help text."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

import math
import re
import signal as signals
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

from .._processes._plan import valid_signals
from .._processes._platform import KILL
from ._exit_status import FAILED

HELP = """\
Usage: within SECONDS [OPTION]... [--] COMMAND [ARG]...
Run COMMAND; stop it and its process group if still running after SECONDS.

  -s, --signal=SIGNAL        send this signal first, by name or number (TERM)
  -k, --kill-after=DURATION  send KILL this long after it (5s; 0 means never)
  -f, --foreground           run COMMAND in the process group of within, and
                             leave the children of COMMAND alone
  -p, --preserve-status      exit with COMMAND's own status, even on a timeout
  -v, --verbose              report on stderr each signal that is sent
      --tree=WHAT            what to stop: child, group (the default) or all
      --die-with-parent      stop it even if within itself is killed
      --usage                report on stderr the time and memory it took
      --backend=LOOP         asyncio, uvloop, trio or none (the default)
      --help, --version

SECONDS and DURATION may end in s, m, h or d; 0 means no limit.
Exit status: 124 on a timeout (137 if it took KILL), 125 if within itself
failed, 126 if COMMAND cannot be run, 127 if it is not found, otherwise
COMMAND's own. If a signal ends COMMAND, within ends by the same signal.

Examples:
  within 30 make test                   TERM after 30 s, KILL 5 s later
  within 1.5h -s INT -k 1m ./backup     INT after 90 minutes, KILL 1 m later
  within 0 --usage make                 no limit; leave nothing of the group
"""


class Option(NamedTuple):
    """One option; ``value`` names its value in messages, if it takes one."""

    short: str
    long: str
    value: str = ""


OPTIONS = (
    Option("s", "signal", "SIGNAL"),
    Option("k", "kill-after", "DURATION"),
    Option("f", "foreground"),
    Option("p", "preserve-status"),
    Option("v", "verbose"),
    Option("", "tree", "WHAT"),
    Option("", "die-with-parent"),
    Option("", "usage"),
    Option("", "backend", "LOOP"),
    Option("", "help"),
    Option("", "version"),
)
Tree = Literal["child", "group", "all"]
TREES: dict[str, Tree] = {"child": "child", "group": "group", "all": "all"}
BACKENDS = ("none", "asyncio", "uvloop", "trio")

# What strtod(3) accepts in the C locale, except NaN, and then one letter.
_DURATION = (
    r"\s*([+-]?)(?:"
    r"(?P<hex>0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?)"
    r"|(?P<decimal>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)"
    r"|inf(?:inity)?"
    r")((?-i:[smhd]?))"
)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

# The shortest limit. A number that is not 0 must not become 0, which means no limit.
_SHORTEST = 1e-9

_REAL_TIME = r"RT(MIN|MAX)(?:([+-])([0-9]+))?"


class Failure(Exception):
    """COMMAND was not run: the exit status and the message."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class UsageError(Failure):
    """The command line is invalid."""

    def __init__(self, words: str) -> None:
        super().__init__(FAILED, f"{words} (see within --help)")


class Options:
    """The parsed command line."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.command: list[str] = []
        self.signal: int = signals.SIGTERM
        self.kill_after = 5.0
        self.verbose = False
        self.foreground = False
        self.preserve_status = False
        self.tree: Tree | None = None  # None until the whole command line is parsed
        self.die_with_parent = False
        self.usage = False
        self.backend = "none"
        self.answer = ""  # "help" or "version": print that and do nothing else

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        """Parse options before SECONDS, or between SECONDS and COMMAND.

        Everything after ``--help`` or ``--version`` is ignored.

        Raises:
            UsageError: If the command line is invalid.
        """
        options, rest = cls(), list(words)
        more_options = options._read(rest)
        if options.answer:
            return options
        if not rest:
            raise UsageError("no SECONDS: give the limit, then the command")
        seconds = rest.pop(0)
        if more_options:
            options._read(rest)
        if not rest and not options.answer:
            raise UsageError("no COMMAND: give the program to run and its arguments")
        options._check_tree()
        options.seconds = duration(seconds)
        options.command = rest
        return options

    def _check_tree(self) -> None:
        """``-f`` and ``--tree=child`` are the same; ``group`` is the default."""
        default: Tree = "child" if self.foreground else "group"
        self.tree = self.tree or default
        if self.foreground and self.tree != "child":
            raise UsageError(
                f"options --foreground and --tree={self.tree} cannot be combined"
            )
        self.foreground = self.tree == "child"

    def _read(self, words: list[str]) -> bool:
        """Remove the options at the front of ``words``; return false after ``--``."""
        while words and words[0].startswith("-") and words[0] != "-":
            word = words.pop(0)
            if word == "--":
                return False
            if word.startswith("--"):
                self._read_long(word, words)
            else:
                self._read_short(word, words)
            if self.answer:
                break
        return True

    def _read_long(self, word: str, words: list[str]) -> None:
        name, equals, value = word.partition("=")
        option = _find_long(name)
        if equals and not option.value:
            raise UsageError(f"option --{option.long} takes no value: {word!r}")
        if option.value and not equals:
            value = _take_value(option, name, words)
        self._set(option, value)

    def _read_short(self, word: str, words: list[str]) -> None:
        letters = word[1:]
        while letters and not self.answer:
            letter, letters, value = letters[0], letters[1:], ""
            option = next((one for one in OPTIONS if one.short == letter), None)
            if option is None:
                raise UsageError(f"unknown option {'-' + letter!r}")
            if option.value:
                value = letters or _take_value(option, f"-{letter}", words)
                letters = ""
            self._set(option, value)

    def _set(self, option: Option, value: str) -> None:
        match option.long:
            case "signal":
                self.signal = signal_number(value)
            case "kill-after":
                self.kill_after = duration(value)
            case "tree":
                if value not in TREES:
                    raise UsageError(
                        f"unknown --tree={value}: give child, group or all"
                    )
                self.tree = TREES[value]
            case "backend":
                if value not in BACKENDS:
                    raise UsageError(
                        f"unknown backend {value!r}: give none, asyncio, uvloop or trio"
                    )
                self.backend = value
            case "help" | "version":
                self.answer = option.long
            case flag:
                setattr(self, flag.replace("-", "_"), True)


def _find_long(name: str) -> Option:
    """The option with this name or unambiguous abbreviation."""
    found = [one for one in OPTIONS if f"--{one.long}".startswith(name)]
    exact = [one for one in found if f"--{one.long}" == name]
    if not found:
        raise UsageError(f"unknown option {name!r}")
    if len(found) > 1 and not exact:
        names = " or ".join(f"--{one.long}" for one in found)
        raise UsageError(f"option {name!r} is ambiguous: {names}")
    return (exact or found)[0]


def _take_value(option: Option, name: str, words: list[str]) -> str:
    if not words:
        raise UsageError(f"option {name} needs a {option.value}")
    return words.pop(0)


def duration(text: str) -> float:
    """Parse a number with an optional unit, and return seconds; may be infinite."""
    if text.isascii() and text.isdecimal():  # without compiling the pattern
        return float(text)
    match = re.fullmatch(_DURATION, text, re.ASCII | re.IGNORECASE)
    number = math.nan
    if match is not None:
        hexadecimal, decimal = match["hex"], match["decimal"]
        try:
            number = float.fromhex(hexadecimal) if hexadecimal else float(decimal)
        except (OverflowError, TypeError):  # it is too large, or it is "inf"
            number = math.inf
        mantissa = re.split("p" if hexadecimal else "e", match[0].lower())[0]
        if re.search("[1-9a-f]", mantissa.partition("0x")[2] or mantissa):
            number = max(number, _SHORTEST)
        if match[1] == "-" and number:
            number = math.nan
    if match is None or math.isnan(number):
        raise UsageError(
            f"invalid time interval {text!r}: give a number, optionally with s, m, h or d"
        )
    return number * _UNITS[match[4]]


def signal_number(text: str) -> int:
    """Parse a signal: its number, or its name with or without SIG."""
    name = text.upper().removeprefix("SIG")
    number = KILL if name == "KILL" else getattr(signals, f"SIG{name}", -1)
    if text.isascii() and text.isdecimal():
        number = int(text[:9])
    elif match := re.fullmatch(_REAL_TIME, name, re.ASCII):
        base: int = getattr(signals, f"SIGRT{match[1]}", -1)
        away = int(match[3] or 0)
        number = base - away if match[2] == "-" else base + away
        least, most = getattr(signals, "SIGRTMIN", 1), getattr(signals, "SIGRTMAX", 0)
        if not least <= number <= most:
            number = -1
    if number not in valid_signals():
        raise UsageError(
            f"unknown signal {text!r}: give a name or a number that kill -l lists"
        )
    return int(number)


def signal_name(number: int) -> str:
    """The name without SIG; the number for a signal without a name (real-time)."""
    if number == KILL:  # Windows has no name for it
        return "KILL"
    try:
        return signals.Signals(number).name[3:]
    except ValueError:
        return str(number)
