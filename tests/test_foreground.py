"""A program in the foreground of a terminal, whose children ask there (P3).

Each test waits for words on the terminal, or for the shell's report of what became of
its job. None waits for a delay.
"""

from __future__ import annotations

import os
import signal
import termios

import pytest
from children import FINDS_MEMBERS, alive
from foreground_programs import each_kind, everywhere, in_a_thread, program
from jobs import CTRL_C, CTRL_Z, session

from within import run

pytestmark = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="asks /proc what became of a process"
)

RUN = program("""
done = await run("sh", "-c", ASK, "Password", text=True, check=False)
print(done.stdout.strip() or f"status {done.returncode}")
""")


@everywhere
def test_p3_a_command_can_ask_at_the_terminal(backend: str) -> None:
    with session(*RUN(backend)) as shell:
        shell.types(b"secret\n")
        assert shell.sees("got") == "secret"
        shell.sees("the end")
        assert shell.told() == "exited 0"
        assert os.tcgetpgrp(shell.keyboard) != shell.job  # the shell has it again


TWICE = program("""
async with process("sh", "-c", ASK, "first") as a:
    async with process("sh", "-c", ASK, "second") as b:
        print("both:", *sorted([await anext(aiter(a)), await anext(aiter(b))]))
print("and", (await run("sh", "-c", ASK, "third", text=True)).stdout)
""")


@each_kind
def test_p3_several_get_the_terminal_one_after_another(backend: str) -> None:
    with session(*TWICE(backend)) as shell:
        shell.types(b"one\ntwo\nthree\n")
        assert shell.sees("both:") == "got one"
        assert shell.sees(" got") == "two"
        assert shell.sees("and got") == "three"
        assert shell.told() == "exited 0"


AWAKE = program("""
async with process("cat"):
    print("woken:", signal.set_wakeup_fd(-1) >= 0)
""")


@everywhere
def test_p3_a_signal_just_before_the_loop_waits_is_handled_at_once(
    backend: str,
) -> None:
    with session(*AWAKE(backend)) as shell:
        assert shell.sees("woken:") == "True"
        assert shell.told() == "exited 0"


# It goes on afterwards: a command that has failed may be quicker than asyncio, which
# turns Ctrl-C into a cancellation.
CAT = program("""
await run("sh", "-c", "echo pid=$$ >/dev/tty; exec cat </dev/tty >/dev/tty", check=False)
await run("sleep", "600")
""")


@each_kind
def test_p3_a_key_for_a_command_that_asks_is_for_us_too(backend: str) -> None:
    with session(*CAT(backend)) as shell:
        pid = int(shell.sees("pid="))
        shell.types(b"one\n")
        for _ in ("the echo of the terminal", "cat"):
            shell.sees("one")
        assert os.tcgetpgrp(shell.keyboard) == pid
        shell.types(CTRL_C)
        shell.sees("interrupted")
        shell.sees("the end")
        assert shell.told() == "exited 0"
        assert not alive(pid)


@each_kind
def test_p3_a_command_that_does_not_ask_leaves_the_keys_to_us(backend: str) -> None:
    waits = program('await run("sh", "-c", "echo pid=$$ >/dev/tty; sleep 600")')
    with session(*waits(backend)) as shell:
        pid = int(shell.sees("pid="))
        assert os.tcgetpgrp(shell.keyboard) == shell.job
        shell.types(CTRL_C)
        shell.sees("interrupted")
        assert shell.told() == "exited 0"
        assert not alive(pid)


STEPS = program("""
script = "trap 'echo; echo continued >/dev/tty' CONT; echo ready >/dev/tty; while :; do sleep 0.1; done"
async with process("sh", "-c", script) as child:
    await child.wait()
""")


@each_kind
def test_p3_ctrl_z_stops_the_children_with_us(backend: str) -> None:
    """The child says so when it is continued."""
    with session(*STEPS(backend)) as shell:
        shell.sees("ready")
        for _ in range(2):
            shell.types(CTRL_Z)
            assert shell.told() == "stopped"
            shell.continues()
            shell.sees("continued")
        shell.types(CTRL_C)
        shell.sees("interrupted")
        assert shell.told() == "exited 0"


LOOP = program("""
script = "while read a </dev/tty; do echo got=$a >/dev/tty; done"
await run("sh", "-c", script, check=False)
await run("sleep", "600")
""")


@each_kind
def test_p3_ctrl_z_while_it_asks(backend: str) -> None:
    with session(*LOOP(backend)) as shell:
        for line in ("one", "two", "three"):
            shell.types(f"{line}\n".encode())
            assert shell.sees("got=") == line
            shell.types(CTRL_Z)
            assert shell.told() == "stopped"
            shell.continues()
        shell.types(b"four\n")
        assert shell.sees("got=") == "four"
        shell.types(CTRL_C)
        shell.sees("interrupted")
        assert shell.told() == "exited 0"


AGAIN = program("""
script = "trap 'echo again >/dev/tty' CONT; while :; do read a </dev/tty && echo got=$a >/dev/tty; done"
await run("sh", "-c", script, check=False)
await run("sleep", "600")
""")


@each_kind
def test_p3_in_the_background_it_asks_once_we_are_in_the_foreground(
    backend: str,
) -> None:
    with session(*AGAIN(backend)) as shell:
        shell.types(b"one\n")
        assert shell.sees("got=") == "one"
        shell.types(CTRL_Z)
        assert shell.told() == "stopped"
        shell.continues("background")
        shell.sees("again")
        os.kill(shell.job, signal.SIGSTOP)
        assert shell.told() == "stopped"
        shell.continues()
        shell.types(b"two\n")
        assert shell.sees("got=") == "two"
        shell.types(CTRL_C)
        shell.sees("interrupted")
        assert shell.told() == "exited 0"


LIMIT = program(
    """
script = "read a </dev/tty; stty -echo raw </dev/tty; echo set >/dev/tty; read b </dev/tty"
async with process("sh", "-c", script, stop=Stop(signal=signal.SIGINT)) as child:
    await child.stdout.receive()
""".replace("echo set >/dev/tty", "echo set")
)


@each_kind
def test_p3_a_sigint_from_us_to_the_child_is_not_taken_for_ctrl_c(backend: str) -> None:
    """The modes of the terminal are restored, too."""
    with session(*LIMIT(backend)) as shell:
        shell.types(b"one\n")
        shell.sees("the end")
        assert b"interrupted" not in shell.shown
        assert shell.told() == "exited 0"
        assert termios.tcgetattr(shell.screen) == shell.modes


def test_p3_without_a_terminal_of_ours_it_fails_at_once() -> None:
    alone = program("""
done = await run("sh", "-c", "read a </dev/tty", check=False, start_new_session=True)
print("status", done.returncode)
""")
    with session(*alone("asyncio")) as shell:
        assert shell.sees("status") == "2"
        assert shell.told() == "exited 0"


# -- other users of the same signals -------------------------------------------


OTHERS = program("""
async def uvloops():
    other = await asyncio.create_subprocess_exec("sh", "-c", "exit 5")
    return await other.wait()
first = [await uvloops()] if sys.argv[2] == "first" else []
async with process("cat") as child:
    first.append(await uvloops())
print("theirs:", *first, await uvloops())
""")


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
@pytest.mark.parametrize("order", ["first", "second"])
def test_p18_the_children_of_the_loop_itself_are_noticed(
    backend: str, order: str
) -> None:
    with session(*OTHERS(backend), order) as shell:
        assert set(shell.sees("theirs:").split()) == {"5"}
        assert shell.told() == "exited 0"


HANDLERS = program("""
heard = []
signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
signal.signal(signal.SIGCONT, ours := lambda *_: None)
before = signal.getsignal(signal.SIGTSTP)
async with process("true") as child:
    print("handled:", signal.getsignal(signal.SIGTSTP) != before)
    await child.wait()
print("restored:", signal.getsignal(signal.SIGTSTP) == before)
print("theirs:", bool(heard), signal.getsignal(signal.SIGCONT) is ours)
""")


def test_t21_handlers_of_the_program_go_on_to_work() -> None:
    with session(*HANDLERS("asyncio")) as shell:
        assert shell.sees("handled:") == "True"
        assert shell.sees("restored:") == "True"
        assert shell.sees("theirs:") == "True True"
        assert shell.told() == "exited 0"


IGNORED = program("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
import warnings; warnings.simplefilter("ignore")
await run("true", check=False)
print("ignored:", signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN)
""")


def test_p16_an_ignored_sigchld_stays_ignored() -> None:
    with session(*IGNORED("asyncio")) as shell:
        assert shell.sees("ignored:") == "True"
        assert shell.told() == "exited 0"


def test_p3_a_loop_in_a_thread_is_lent_the_terminal_too() -> None:
    with session(*in_a_thread()("trio")) as shell:
        shell.types(b"secret\n")
        assert shell.sees("got") == "secret"
        assert shell.told() == "exited 0"


@pytest.mark.anyio
async def test_p3_without_a_terminal_no_handler_is_set() -> None:
    numbers = (signal.SIGCHLD, signal.SIGTSTP, signal.SIGCONT)
    before = [signal.getsignal(number) for number in numbers]
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        await run("true")
        assert [signal.getsignal(number) for number in numbers] == before
