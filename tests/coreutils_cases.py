"""Calls of `timeout` and of `within`: where both do the same, and where not, and why."""

from __future__ import annotations

import signal
from dataclasses import dataclass

# Says "ready" when its parent sleeps: what is sent to coreutils 9.1 in the instant
# after its fork is lost.
READY = "until grep -q ^State:.S /proc/$PPID/status; do :; done; echo ready"

# Ends by itself long after any test.
SLEEP = "sleep 600"
WAIT = f"{SLEEP} & {READY}; wait; wait"

# What timeout(1) wakes itself by: its time is up.
NOW = (signal.SIGALRM,)

DEAF = f"trap '' TERM; {READY}; while :; do sleep 0.1; done"


@dataclass(frozen=True)
class Case:
    """One call, of either command."""

    words: str  # as a shell reads them
    around: str = 'exec "$@"'  # a script that calls the command, given as "$@"
    send: tuple[int, ...] = ()  # to the command, each after a line from its child
    alike: bool = True  # what is said on stderr


# Command lines that mean the same to both.
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

# Command lines that mean nothing to either.
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
    "124 is its own, too": Case("60 sh -c 'exit 124'"),
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
    # -- what cannot be run
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
    "the command's own options": Case("60 echo -v --help -- -k"),
    "reads stdin": Case("60 cat", 'echo data | "$@"'),
    "is read no further": Case("60 yes", '"$@" | head -1'),
    "--help into a full file": Case("--help", 'exec "$@" > /dev/full'),
    "--version into a full file": Case("--version", 'exec "$@" > /dev/full'),
    "--help into a closed file": Case("--help", 'exec "$@" >&-'),
    "--help that nobody reads": Case("--help", '("$@"; echo $? >&3) 3>&1 | true'),
    # -- signals
    **{
        f"{name} is passed on": Case(
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
    "one that is asked for is passed on": Case(
        f"-s USR1 60 sh -c 'trap \"exit 9\" USR1; {WAIT}'",
        send=(signal.SIGUSR1,),
    ),
    "TERM, and INT after it": Case(
        f'60 sh -c \'trap "echo told" TERM; trap "exit 6" INT; {READY}; '
        "while :; do sleep 0.1; done'",
        send=(signal.SIGTERM, signal.SIGINT),
        alike=False,  # the shell tells of its sleep
    ),
    "a blocked TERM": Case(
        f"-k 0.1 60 env --block-signal=TERM sh -c '{READY}; exec {SLEEP}'",
        send=(signal.SIGTERM,),
    ),
    "stopped when its time is up": Case("0.3 sh -c 'kill -STOP $$; exit 3'"),
    "SIGCHLD ignored around it": Case("60 sh -c 'exit 3'", "trap '' CHLD; exec \"$@\""),
    "TERM ignored around it": Case("60 sh -c 'exit 3'", "trap '' TERM; exec \"$@\""),
    # -- limits in limits; COMMAND is coreutils' own, for either
    "an inner limit": Case(f"60 timeout 0.1 {SLEEP}"),
    "an outer limit": Case(f"0.3 timeout 60 {SLEEP}"),
}


@dataclass(frozen=True)
class Difference:
    """What a call does by either command, and why."""

    case: Case
    theirs: str
    ours: str
    why: str
    until: tuple[int, ...] = (99,)  # the coreutils that does as we do

    def row(self, what: str) -> str:
        since = (
            ""
            if self.until == (99,)
            else f" ({'.'.join(map(str, self.until))}: as ours)"
        )
        return f"| {what} | {self.theirs}{since} | {self.ours} | {self.why} |"


DIFFERENT = {
    "TERM is ignored, no `-k`": Difference(
        Case(f'60 sh -c "{DEAF}"', send=NOW),
        "runs on",
        "exit 137",
        "Nothing outlives its limit: `-k 5` is the default, `-k 0` is theirs.",
    ),
    "the command leaves a process behind": Difference(
        Case("60 sh -c 'sleep 600 > /dev/null 2>&1 & echo $!'"),
        "exit 0, one left",
        "exit 0",
        "Nothing outlives its block, however it ends. `-f`, or a group of its own "
        "(`setsid`), keeps it.",
    ),
    "`-s KILL`": Difference(
        Case(f"-s KILL 0.1 {SLEEP}"),
        "killed by KILL",
        "exit 137",
        "They are in the group that they kill. We are not, and say it: the same to a "
        "shell.",
    ),
    "KILL by `-k`": Difference(
        Case(f'-k 0.1 60 sh -c "{DEAF}"', send=NOW),
        "killed by KILL",
        "exit 137",
        "As above.",
    ),
    "options after the limit: `10 -v true`": Difference(
        Case("10 -v true"),
        "exit 127",
        "exit 0",
        "`within 10 -v …` reads as it is said. A command that begins with a dash "
        "comes after `--`.",
    ),
    "`10 -- true`": Difference(Case("10 -- true"), "exit 127", "exit 0", "As above."),
    "`--usage`": Difference(Case("--usage 10 true"), "exit 125", "exit 0", "Our own."),
    "`--backend=trio`": Difference(
        Case("--backend=trio 10 true"), "exit 125", "exit 0", "Our own."
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
        "A limit that sends nothing is a mistake.",
    ),
    "`-s 137`": Difference(
        Case("-s 137 10 true"),
        "exit 0",
        "exit 125",
        "No signal has this number; they take it for a status, and mean 9.",
    ),
    "a limit of `1e-5000`": Difference(
        Case("1e-5000 sleep 0.5"),
        "exit 0",
        "exit 124",
        "What is not 0 is a limit, however short.",
        (9, 7),
    ),
    "USR1 comes": Difference(
        Case(
            f"60 sh -c 'trap \"exit 9\" USR1; {WAIT}'",
            send=(signal.SIGUSR1,),
        ),
        "killed by USR1, some left",
        "exit 9",
        "Every signal that would end us is passed on, or the command would be left.",
        (9, 10),
    ),
    "HUP was ignored (`nohup`)": Difference(
        Case("60 sh -c 'kill -HUP $$; exit 3'", "trap '' HUP; exec \"$@\""),
        "killed by HUP",
        "exit 3",
        "What was ignored stays so, for the command too.",
        (9, 10),
    ),
    "`-v` into a full file": Difference(
        Case(f"-v 0.1 {SLEEP}", 'exec "$@" 2> /dev/full'),
        "exit 125",
        "exit 124",
        "What became of the command says more than a message that is lost.",
    ),
    "PIPE was ignored": Difference(
        Case("60 sh -c 'kill -PIPE $$; exit 3'", "trap '' PIPE; exec \"$@\""),
        "exit 3",
        "killed by PIPE",
        "Python ignores PIPE (and XFSZ) itself, and cannot know what was before; the "
        "command gets the default.",
    ),
}
