"""Calls of `timeout` and of `within`: what both do alike, what differs, and why."""

from __future__ import annotations

import signal
from dataclasses import dataclass

# Prints "ready" once its parent sleeps: coreutils 9.1 loses a signal that comes in the
# instant after its fork.
READY = "until grep -q ^State:.S /proc/$PPID/status; do :; done; echo ready"

# It ends by itself, long after any test.
SLEEP = "sleep 600"
WAIT = f"{SLEEP} & {READY}; wait; wait"

# timeout(1) wakes itself with this signal: its time is up.
NOW = (signal.SIGALRM,)

DEAF = f"trap '' TERM; {READY}; while :; do sleep 0.1; done"


@dataclass(frozen=True)
class Case:
    """One call, of either command."""

    words: str  # as a shell reads them
    around: str = 'exec "$@"'  # a script that calls the command, which is "$@"
    send: tuple[int, ...] = ()  # to the command, each after a line from its child
    alike: bool = True  # both write to stderr, or neither


# Command lines with the same meaning for both.
NO_LIMIT = (
    *("0", "0s", "-- -0", "+0", "0x0", "0e9", "' 0'", "1m", "1h", "1d", "1e3", "0x1D"),
    *("inf", "INF", "infinity", "infs", "infd", "+inf", "1e400", "1e308d", "0x1d"),
    *("9223372036854775808", "1e300", "0x1p70", ".5e3", "60."),
)
A_LIMIT = ("0.1s", ".1", "1e-1", "0x.2", "0x1p-4", "1e-9", "' 0.1'", "+.1")
OPTIONS = (
    *("-s INT", "-sINT", "-s SIGINT", "-s int", "-s sigint", "-s 2", "-s02", "--s=2"),
    *("--signal=INT", "--signal INT", "--sig=INT", "-s rtmin+1", "-s SIGRTMIN"),
    *("-s RTMAX", "-s RTMAX-2", "-s USR1", "-s HUP -s INT", "-k 0", "-k inf"),
    *("-k1", "-k 1", "-k 1m", "--kill-after=1", "--kill=1", "--k 1", "-k1 -k2"),
    *("-v", "-vv", "--verbose", "-vk1", "-vs INT", "-v -s rtmin+1", "--verb"),
    *("--foreground", "--fore", "--preserve", "--p", "--", "-v --"),
)
ALIKE = (
    *(f"{text} true" for text in NO_LIMIT),
    *(f"{text} {SLEEP}" for text in A_LIMIT),
    *(f"{text} 0.1 {SLEEP}" for text in OPTIONS),
)

# Command lines that both reject.
NO_DURATION = (
    *("x", "1x", "''", "' '", "s", "1ss", "1S", "1_0", "'1 '", "'1 s'", "1e", "-", "."),
    *("nan", "-- -1", "-- -inf", "-- -1e-9", "0x", "1e3e3", "1..2", "٣", "--", "1,5"),
)
NO_OPTION = (
    *("--no-such", "-x", "-vx", "-1", "--verbose=1", "--ver", "--v", "-s NO", "-k -1"),
    *("-s ''", "-s SIG", "-s -1", "-s rtmin-1", "-s rtmax+1", "-s rtmin+", "-s x9"),
    *("-s rtmin+99", "-k x", "-k ''", "--signal= ", "-s TERM+1", "--no-such --help"),
)
NONSENSE = (
    *(f"{text} true" for text in NO_DURATION),
    *(f"{text} 60 true" for text in NO_OPTION),
    *("", "60", "-v", "-k", "-k 1", "--signal", "--", "-- 60", "x"),
)

SAME = {
    # -- exit statuses
    "0": Case("60 true"),
    "its own": Case("60 sh -c 'exit 7'"),
    "255": Case("60 sh -c 'exit 255'"),
    "its own status may be 124": Case("60 sh -c 'exit 124'"),
    "timed out": Case(f"0.1 {SLEEP}"),
    "timed out, exits with 0": Case(
        f"60 sh -c 'trap \"exit 0\" TERM; {WAIT}'", send=NOW
    ),
    "preserve": Case(f"--preserve-status 0.1 {SLEEP}"),
    "preserve its own": Case(
        f"--preserve-status 60 sh -c 'trap \"exit 3\" TERM; {WAIT}'", send=NOW
    ),
    "preserve before the limit": Case("--preserve-status 60 sh -c 'exit 3'"),
    "KILL in the foreground": Case(f"--foreground -s KILL 0.1 {SLEEP}"),
    "kill-after in the foreground": Case(
        f'--foreground -k 0.1 60 sh -c "{DEAF}"', send=NOW
    ),
    **{
        f"dies of {name}": Case(f"60 sh -c 'kill -{name} $$'")
        for name in ("TERM", "INT", "HUP", "KILL", "PIPE", "USR1", "ALRM", "RTMIN")
    },
    **{
        f"dies of {name}, with a core": Case(
            f"60 sh -c 'kill -{name} $$'",
            'ulimit -S -c "$(ulimit -H -c)"; exec "$@"',
            alike=False,
        )
        for name in ("QUIT", "SEGV", "ABRT")
    },
    "dies of TERM, preserved": Case("--preserve-status 60 sh -c 'kill -TERM $$'"),
    "dies of TERM in the foreground": Case("--foreground 60 sh -c 'kill $$'"),
    # -- commands that cannot be run
    "not found": Case("60 ./no-such-command"),
    "not found on PATH": Case("60 no-such-command"),
    "empty": Case("60 ''"),
    "not executable": Case("60 ./plain"),
    "a directory": Case("60 ./"),
    "below a file": Case("60 ./plain/x"),
    "no interpreter": Case("60 ./homeless"),
    "a script without #!": Case("60 ./plain-script 'a  b' c"),
    "a script without #! on PATH": Case("60 plain-script x", 'PATH=.:$PATH; exec "$@"'),
    "an empty program": Case("60 ./empty"),
    # -- files
    **{
        f"{what}, {way}": Case(f"60 sh -c '{what}'", f'exec "$@" {way}')
        for what in ("read a; echo $?", "echo a >&2; echo $?")
        for way in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full")
    },
    "a descriptor beyond 2": Case("60 sh -c 'echo x >&3'", 'exec "$@" 3>&1'),
    "process substitution": Case(
        "60 cat", """exec bash -c '"${@}" <(echo x)' bash "$@" """
    ),
    "make's jobserver": Case("", 'exec make -s -j2 -f jobs.mk CALL="$*"'),
    "the command's own options": Case("60 echo -v --help -- -k"),
    "reads stdin": Case("60 cat", 'echo data | "$@"'),
    "its reader goes away": Case("60 yes", '"$@" | head -1'),
    "--help into a full file": Case("--help", 'exec "$@" > /dev/full'),
    "--version into a full file": Case("--version", 'exec "$@" > /dev/full'),
    "--help into a closed file": Case("--help", 'exec "$@" >&-'),
    "--help without a reader": Case("--help", '("$@"; echo $? >&3) 3>&1 | true'),
    # -- signals
    **{
        f"{name} is forwarded": Case(
            f"60 sh -c 'trap \"exit 9\" {name}; {WAIT}'",
            send=(signal.Signals[f"SIG{name}"],),
        )
        for name in ("INT", "TERM", "HUP", "QUIT")
    },
    **{
        f"{name} ends it": Case(
            f"60 sh -c '{READY}; exec {SLEEP}'",
            'ulimit -c 0; exec "$@"',
            send=(signal.Signals[f"SIG{name}"],),
        )
        for name in ("INT", "TERM", "HUP", "QUIT", "ALRM")
    },
    "the signal of -s is forwarded": Case(
        f"-s USR1 60 sh -c 'trap \"exit 9\" USR1; {WAIT}'",
        send=(signal.SIGUSR1,),
    ),
    "TERM, and INT after it": Case(
        f'60 sh -c \'trap "echo told" TERM; trap "exit 6" INT; {READY}; '
        "while :; do sleep 0.1; done'",
        send=(signal.SIGTERM, signal.SIGINT),
        alike=False,  # the shell reports the death of its sleep
    ),
    "a blocked TERM": Case(
        f"-k 0.1 60 env --block-signal=TERM sh -c '{READY}; exec {SLEEP}'",
        send=(signal.SIGTERM,),
    ),
    "stopped when its time is up": Case("0.3 sh -c 'kill -STOP $$; exit 3'"),
    "SIGCHLD ignored around it": Case("60 sh -c 'exit 3'", "trap '' CHLD; exec \"$@\""),
    "TERM ignored around it": Case("60 sh -c 'exit 3'", "trap '' TERM; exec \"$@\""),
    "a signal blocked around it": Case(
        "60 sh -c 'kill -USR1 $$; exit 3'", 'exec env --block-signal=USR1 "$@"'
    ),
    "the environment of the C locale": Case(
        "60 sh -c 'env | grep -v ^WITHIN_ | sort'",
        'exec env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" A=b "$@"',
    ),
    "a locale that is given": Case(
        "60 sh -c 'echo $LC_CTYPE'", 'LC_ALL= LC_CTYPE=C.UTF-8 exec "$@"'
    ),
    # -- sessions
    "setsid, its status": Case("60 setsid sh -c 'exit 3'"),
    "setsid, timed out": Case(f"0.1 setsid {SLEEP}"),
    "setsid, TERM": Case(
        f"60 setsid sh -c '{READY}; exec {SLEEP}'", send=(signal.SIGTERM,)
    ),
    # -- a limit in a limit; the other one is always coreutils'
    "an inner limit": Case(f"60 timeout 0.1 {SLEEP}"),
    "an outer limit": Case(f"0.3 timeout 60 {SLEEP}"),
}


@dataclass(frozen=True)
class Difference:
    """What each of the commands does, and why."""

    case: Case
    theirs: str
    ours: str
    why: str
    until: tuple[int, ...] = (99,)  # the first coreutils that does the same as we do

    def row(self, what: str) -> str:
        since = (
            ""
            if self.until == (99,)
            else f" ({'.'.join(map(str, self.until))}: as `within`)"
        )
        return f"| {what} | {self.theirs}{since} | {self.ours} | {self.why} |"


DIFFERENT = {
    "TERM is ignored, no `-k`": Difference(
        Case(f'60 sh -c "{DEAF}"', send=NOW),
        "runs on",
        "exit 137",
        "A command cannot outlive its limit: `-k 5` is the default. `-k 0` is what `timeout` does.",
    ),
    "the command leaves a process behind": Difference(
        Case("60 sh -c 'sleep 600 > /dev/null 2>&1 & echo $!'"),
        "exit 0, one left",
        "exit 0",
        "The process group ends a second after the command, and a helper at the limit. "
        "Use `-f`, or start the process in a group of its own (`setsid`), to keep it.",
    ),
    "`-s KILL`": Difference(
        Case(f"-s KILL 0.1 {SLEEP}"),
        "killed by KILL",
        "exit 137",
        "`timeout` kills its own group, itself included; `within` is outside the group "
        "and exits with 137. A shell sees no difference.",
    ),
    "KILL by `-k`": Difference(
        Case(f'-k 0.1 60 sh -c "{DEAF}"', send=NOW),
        "killed by KILL",
        "exit 137",
        "The same.",
    ),
    "a child of a command that calls setsid": Difference(
        Case("60 setsid sh -c 'sleep 600 & echo; wait'", send=NOW),
        "exit 124, one left",
        "exit 124",
        "A session that the command itself starts is stopped with it.",
    ),
    "`-s KILL` around another `timeout`": Difference(
        Case(f"-s KILL 60 timeout 60 sh -c 'echo; exec {SLEEP}'", send=NOW),
        "killed by KILL, one left",
        "exit 137",
        "The inner one makes a process group of its own, which is stopped with it.",
    ),
    "options after the limit: `10 -v true`": Difference(
        Case("10 -v true"),
        "exit 127",
        "exit 0",
        "`within 10 -v …` reads naturally. Write `--` before a command that begins "
        "with a dash.",
    ),
    "`10 -- true`": Difference(Case("10 -- true"), "exit 127", "exit 0", "The same."),
    "`--usage`": Difference(
        Case("--usage 10 true"), "exit 125", "exit 0", "An option of `within` alone."
    ),
    "`--backend=trio`": Difference(
        Case("--backend=trio 10 true"),
        "exit 125",
        "exit 0",
        "An option of `within` alone.",
    ),
    "`--tree=all`": Difference(
        Case("--tree=all 10 true"),
        "exit 125",
        "exit 0",
        "An option of `within` alone.",
    ),
    "`-f`": Difference(
        Case("-f 10 true"), "exit 125", "exit 0", "POSIX.1-2024 has it.", (9, 6)
    ),
    "`-p`": Difference(
        Case("-p 10 true"), "exit 125", "exit 0", "POSIX.1-2024 has it.", (9, 6)
    ),
    "`-s 0`": Difference(
        Case("-s 0 10 true"),
        "exit 0",
        "exit 125",
        "A limit that sends no signal is a mistake.",
    ),
    "`-s 137`": Difference(
        Case("-s 137 10 true"),
        "exit 0",
        "exit 125",
        "No signal has this number. `timeout` takes it for an exit status and sends 9.",
    ),
    "a limit of `1e-5000`": Difference(
        Case("1e-5000 sleep 0.5"),
        "exit 0",
        "exit 124",
        "Every number but 0 is a limit, however small.",
        (9, 7),
    ),
    "USR1 arrives": Difference(
        Case(
            f"60 sh -c 'trap \"exit 9\" USR1; {WAIT}'",
            send=(signal.SIGUSR1,),
        ),
        "killed by USR1, some left",
        "exit 9",
        "`within` forwards every signal that would end it, because the command would otherwise be left running.",
        (9, 10),
    ),
    "HUP was ignored (`nohup`)": Difference(
        Case("60 sh -c 'kill -HUP $$; exit 3'", "trap '' HUP; exec \"$@\""),
        "killed by HUP",
        "exit 3",
        "An ignored signal stays ignored, for the command as well.",
        (9, 10),
    ),
    "`-v` into a full file": Difference(
        Case(f"-v 0.1 {SLEEP}", 'exec "$@" 2> /dev/full'),
        "exit 125",
        "exit 124",
        "The status of the command matters more than a lost message.",
        (9, 10),
    ),
    "PIPE was ignored": Difference(
        Case("60 sh -c 'kill -PIPE $$; exit 3'", "trap '' PIPE; exec \"$@\""),
        "exit 3",
        "killed by PIPE",
        "Python ignores PIPE and XFSZ when it starts, so `within` cannot know whether "
        "they were ignored before. The command gets the default.",
    ),
}

# One or two of each kind, for the ordinary run; all others are marked `exhaustive`.
# Of the words, those that need no waiting run always.
REPRESENTATIVES = {
    *(f"{text} {SLEEP}" for text in ("0.1s", "1e-9", "0x1p-4")),
    *(
        f"{text} 0.1 {SLEEP}"
        for text in ("-sINT", "-s 2", "--sig=INT", "-s rtmin+1", "-vk1", "--fore", "--")
    ),
    *("timed out", "timed out, exits with 0", "preserve its own"),
    *("KILL in the foreground", "dies of SEGV, with a core", "not found on PATH"),
    *("a script without #! on PATH", "read a; echo $?, <&- >&- 2>&-"),
    *("TERM is forwarded", "INT ends it", "stopped when its time is up"),
    *("TERM ignored around it", "an inner limit", "KILL by `-k`", "`-f`"),
    *("the command leaves a process behind", "USR1 arrives"),
    *("HUP was ignored (`nohup`)", "PIPE was ignored"),
}
