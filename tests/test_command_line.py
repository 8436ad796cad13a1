"""The command `within`, run as a user runs it; statuses as coreutils has them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from within.__main__ import main
from within._command_line._options import OPTIONS

BACKENDS = ("asyncio", "uvloop", "trio")
ROOT = Path(__file__).parents[1]
WITHIN = [sys.executable, "-m", "within"]
FOREVER = "600"


def within(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "timeout": 60, **options}
    return subprocess.run(
        [*WITHIN, *words], text=True, capture_output=True, check=False, **options
    )


def at_once(*words: str) -> subprocess.CompletedProcess[str]:
    """The same, but its time is up when the command has written a line."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*WITHIN, *words], **pipes) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        child.send_signal(signal.SIGALRM)
        rest, said = child.communicate(timeout=60)
    return subprocess.CompletedProcess(words, child.returncode, line + rest, said)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("backend", BACKENDS)
def test_124_when_it_times_out_and_nothing_is_left(backend: str) -> None:
    script = f"sleep {FOREVER} & p=$!; sleep {FOREVER} & echo $p $!; wait"
    done = at_once("600", "--backend", backend, "--", "sh", "-c", script)
    assert done.returncode == 124
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))
    assert done.stderr == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_streams_are_the_callers_own(backend: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(3_000_000))
    with data.open("rb") as source, (tmp_path / "copy").open("wb") as copy:
        words = [*WITHIN, "60", "--backend", backend, "--", "cat"]
        subprocess.run(words, stdin=source, stdout=copy, check=True)
    assert (tmp_path / "copy").read_bytes() == data.read_bytes()


# As timeout(1) of coreutils has them, for where there is none to compare with.
CASES: list[tuple[int, list[str]]] = [
    (0, ["60", "true"]),
    (7, ["60", "sh", "-c", "exit 7"]),
    (124, ["0.1", "sleep", FOREVER]),
    (124, ["-s", "INT", "0.1", "sleep", FOREVER]),
    (124, ["-f", "0.1", "sleep", FOREVER]),
    (137, ["-s", "KILL", "0.1", "sleep", FOREVER]),
    (143, ["-p", "0.1", "sleep", FOREVER]),
    (125, ["x", "true"]),
    (125, ["60"]),
    (125, ["--no-such-option", "60", "true"]),
    (126, ["60", "/etc/passwd"]),
    (127, ["60", "no-such-command"]),
    (127, ["60", ""]),
]


@pytest.mark.parametrize(("status", "words"), CASES, ids=str)
def test_exit_statuses(status: int, words: list[str]) -> None:
    assert main(words) == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "SEGV"])
def test_it_dies_of_the_signal_that_ended_the_command(
    name: str, tmp_path: Path
) -> None:
    done = within("60", "sh", "-c", f"kill -{name} $$", cwd=tmp_path)
    assert done.returncode == -signal.Signals[f"SIG{name}"]


def test_it_dumps_no_core_of_its_own(tmp_path: Path) -> None:
    # Only the command has a limit of 0 for its core.
    call = [*WITHIN, "60", "sh", "-c", "ulimit -c 0; kill -QUIT $$"]
    script = 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"'
    child = subprocess.Popen(["sh", "-c", script, "sh", *call], cwd=tmp_path)
    result = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.wait() == -signal.SIGQUIT
    assert result is not None
    assert result.si_code == os.CLD_KILLED  # and not CLD_DUMPED


def test_options_may_follow_the_seconds() -> None:
    assert within("0.1", "-s", "INT", "--", "sleep", FOREVER).returncode == 124
    assert within("60", "sh", "-c", "exit 4", "-v").returncode == 4
    assert within("60", "--", "echo", "-v").stdout == "-v\n"


def test_verbose_says_what_is_sent() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done 2> /dev/null"
    done = at_once("600", "-v", "-k", "0.1", "sh", "-c", script)
    assert done.stderr.splitlines() == [
        "within: sending signal TERM to command 'sh'",
        "within: sending signal KILL to command 'sh'",
    ]
    assert done.returncode == 137


def test_usage_is_a_line_on_stderr() -> None:
    done = within("60", "--usage", "true")
    assert done.stderr.startswith("within: wall 0.")
    assert done.stderr.endswith(" MiB\n")


def test_errors_are_one_line_that_names_the_command() -> None:
    assert within("60", "no-such").stderr == (
        "within: failed to run command 'no-such': No such file or directory\n"
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_to_the_tree_which_is_stopped(
    backend: str, number: int
) -> None:
    name = signal.Signals(number).name[3:]
    script = (
        f"trap 'echo got {name}; exit 9' {name}; sleep {FOREVER} & echo $!; wait; wait"
    )
    child = subprocess.Popen(
        [*WITHIN, "600", "--backend", backend, "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.send_signal(number)
    rest, _ = child.communicate(timeout=60)
    assert rest == f"got {name}\n"
    assert child.returncode == 9
    assert not is_alive(pid)


def test_signals_are_passed_on_while_it_is_being_stopped() -> None:
    script = "trap 'echo told' TERM; trap 'echo int; exit 6' INT; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen(
        [*WITHIN, "600", "-k", "0", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGALRM)
    assert child.stdout.readline() == "told\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "int\n"
    assert child.returncode == 124


def test_sigchld_inherited_as_ignored_does_not_hide_the_status() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    done = within("60", "sh", "-c", "exit 3", preexec_fn=ignore)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_real_time_signal_has_a_number_for_a_name() -> None:
    number = signal.SIGRTMIN + 2
    done = within("0.1", "-v", "-s", str(int(number)), "sleep", FOREVER)
    assert done.returncode == 124
    assert done.stderr == f"within: sending signal {int(number)} to command 'sleep'\n"


def test_a_stderr_that_is_full_changes_nothing() -> None:
    with open("/dev/full", "w") as full:
        words = [*WITHIN, "0.1", "-v", "sleep", FOREVER]
        done = subprocess.run(words, stderr=full, check=False)
    assert done.returncode == 124


def test_in_the_foreground_the_group_is_ours() -> None:
    ps = ["ps", "-o", "pgid=", "-p"]
    script = " ".join([*ps, "$$"])
    ours = within("60", "-f", *ps, str(os.getpid()))
    assert within("60", "-f", "sh", "-c", script).stdout == ours.stdout
    assert within("60", "sh", "-c", script).stdout != ours.stdout


def test_help_fits_a_screen(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert main(["60", "--version"]) == 0
    assert capfd.readouterr().out.startswith("within ")


def test_in_process(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["60", "--usage", "-v", "--", "echo", "hi"]) == 0
    assert capfd.readouterr().out == "hi\n"
    assert main(["60", "--backend", "curio", "true"]) == 125
    assert "asyncio, uvloop or trio" in capfd.readouterr().err


def test_a_loop_that_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['trio'] = None; from within.__main__ import main; "
        "sys.exit(main(['60', '--backend', 'trio', 'true']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 125
    assert done.stderr == "within: trio is not installed: pip install within[trio]\n"


@pytest.mark.parametrize(
    "words", [["--nope"], ["1s2", "true"], ["-s", "X", "1", "true"]]
)
def test_errors_of_usage_are_one_line(words: list[str]) -> None:
    done = within(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert re.fullmatch(r"within: .* \(see within --help\)\n", done.stderr)


def test_nothing_to_start_with_is_our_own_failure() -> None:
    script = 'ulimit -n 7; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *WITHIN, "60", "true"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert re.fullmatch("within: .*Too many open files.*\n", done.stderr)


def test_words_that_are_no_text() -> None:
    done = subprocess.run(
        [*WITHIN, b"--\xff"], stderr=subprocess.PIPE, check=False, env={"LC_ALL": "C"}
    )
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seconds", ["1e-9", "1e300", "99999999d"])
def test_limits_of_any_length(backend: str, seconds: str) -> None:
    words = ["true"] if float(seconds.rstrip("d")) > 1 else ["sleep", FOREVER]
    status = 0 if words == ["true"] else 124
    assert within(seconds, "--backend", backend, *words).returncode == status


@pytest.mark.parametrize("backend", BACKENDS)
def test_usr1_is_passed_on_and_ends_nothing(backend: str) -> None:
    script = "trap 'echo told' USR1; trap 'exit 9' TERM; echo ready; while :; do wait; sleep 0.05; done"
    child = subprocess.Popen(
        [*WITHIN, "600", "--backend", backend, "-k", "0", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for _ in range(2):
        child.send_signal(signal.SIGUSR1)
        assert child.stdout.readline() == "told\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 9


@pytest.mark.parametrize(
    ("outer", "inner", "trap", "status"),
    [
        ("", "", "", 124),
        ("--backend=trio -k 6", "-k 600", "trap '' TERM; ", 137),
        ("-k 6", "-k 0 --backend=trio", "trap '' TERM; ", 137),
    ],
)
def test_a_limit_in_a_limit(outer: str, inner: str, trap: str, status: int) -> None:
    """Whom KILL ends cannot end its own group any more: the inner one is first."""
    script = f"{trap}echo $$; while :; do sleep 0.1; done"
    nested = [*WITHIN, *inner.split(), "600", "sh", "-c", script]
    done = at_once(*outer.split(), "600", *nested)
    assert done.returncode == status
    assert not is_alive(int(done.stdout))


# -- what is written about it ------------------------------------------------------

SOURCES = {
    "help": None,
    "page": ROOT / "docs" / "command-line.md",
    "manual": ROOT / "man" / "within.1",
    "bash": ROOT / "completions" / "within.bash",
    "zsh": ROOT / "completions" / "_within",
    "fish": ROOT / "completions" / "within.fish",
}


@pytest.mark.parametrize("where", SOURCES)
def test_every_option_is_told_of(where: str, capfd: pytest.CaptureFixture[str]) -> None:
    """And no other is."""
    if source := SOURCES[where]:
        text = source.read_text()
    else:
        assert main(["--help"]) == 0
        text = capfd.readouterr().out
    if where == "manual":
        text = text.replace("Fl Fl ", "--").replace("Fl ", "-").replace(".It -", " -")
    if where == "fish":
        lines = [line for line in text.splitlines() if line.startswith("complete")]
        text = re.sub("-s ([a-z]) ", r" -\1 ", "\n".join(lines))
        text = re.sub(" -l ([a-z])", r" --\1", text)
    for option in OPTIONS:
        assert re.search(rf"--{option.long}\b", text), option
        if option.short:
            assert re.search(rf"[^-\w]-{option.short}\b", text), option
    known = {option.long for option in OPTIONS}
    foreign = {"fcs-skip"}  # fish's own
    assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text)) - foreign <= known | (
        {"sig"} if where == "page" else set()  # a shortened one
    )


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc here")
def test_the_manual_is_well_formed() -> None:
    lint = ["mandoc", "-T", "lint", "-W", "warning", str(SOURCES["manual"])]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_the_manual_can_be_shown() -> None:
    command = ["groff", "-ww", "-man", "-Tascii", "-P-cbou", str(SOURCES["manual"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--preserve-status" in done.stdout


COMPLETIONS = [
    ("within --back", "--backend"),
    ("within 10 --backend=tr", "trio"),
    ("within 10 -s KI", "KILL"),
    ("within --signal=US", "USR1"),
    ("within -k 1 10 mkfi", "mkfifo"),
]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(("line", "offered"), COMPLETIONS)
def test_completion_in_bash(line: str, offered: str) -> None:
    words = line.replace("=", " = ").split(" ")
    script = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _within; '
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    command = ["bash", "--norc", "-c", script, str(SOURCES["bash"]), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert offered in done.stdout.replace("=", "").split()
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize(("line", "offered"), COMPLETIONS)
def test_completion_in_fish(line: str, offered: str) -> None:
    script = f"source {SOURCES['fish']}; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "-N", "-c", script], capture_output=True, text=True, check=True
    )
    assert offered in re.split(r"[\s=]", done.stdout)


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_completion_for_zsh_can_be_read() -> None:
    subprocess.run(["zsh", "-n", str(SOURCES["zsh"])], check=True)
