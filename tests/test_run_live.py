"""run(on_output=...): each line as it comes (P24)."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from children import FOREVER, QUICK, longer_and_longer, needs_members

import within
from within import run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENCE = 60  # seconds; reached only if something hangs


class Seen(list[tuple[str, str]]):
    """An `on_output` that notes its calls."""

    def __call__(self, source: str, text: str) -> None:
        self.append((source, text))

    async def later(self, source: str, text: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.append((source, text))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture(params=["function", "coroutine function"])
def on_output(request: pytest.FixtureRequest, seen: Seen) -> Callable[..., Any]:
    return seen if request.param == "function" else seen.later


class Gate:
    """A pipe at which a child waits until it is opened."""

    def __init__(self) -> None:
        self.fd, self._ours = os.pipe()

    def open(self) -> None:
        os.write(self._ours, b"\n")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._ours)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


# -- what it sees --------------------------------------------------------------


async def test_p24_each_line_is_seen_before_the_next_is_written(
    gate: Gate, on_output: Callable[..., Any], seen: Seen
) -> None:
    """The child goes on only when its last line has been seen, whichever pipe it was in."""

    def answer(source: str, text: str) -> Any:
        gate.open()
        return on_output(source, text)

    script = f"for n in 1 2 3; do echo $n; read x; echo $n >&2; read x; done </dev/fd/{gate.fd}"
    done = await run(
        "sh", "-c", script, on_output=answer, pass_fds=[gate.fd], timeout=PATIENCE
    )
    pipes = ("stdout", "stderr")
    assert seen == [(pipe, f"{n}\n") for n in (1, 2, 3) for pipe in pipes]
    assert done.stdout == done.stderr == b"1\n2\n3\n"


async def test_p24_a_carriage_return_ends_a_line_at_once(
    gate: Gate, on_output: Callable[..., Any], seen: Seen
) -> None:
    def answer(source: str, text: str) -> Any:
        gate.open()
        return on_output(source, text)

    script = "printf '10%%\\r'; read x; printf '\\n20%%\\r'; read x; printf done"
    done = await run(
        *("sh", "-c", f"exec </dev/fd/{gate.fd}; {script}"),
        on_output=answer,
        pass_fds=[gate.fd],
        timeout=PATIENCE,
    )
    assert [line for _, line in seen] == ["10%\n", "20%\n", "done"]
    assert done.stdout == b"10%\r\n20%\rdone"


async def test_p24_text_is_seen_and_bytes_are_kept(
    on_output: Callable[..., Any], seen: Seen
) -> None:
    done = await run("printf", r"caf\303\251 \377", on_output=on_output)
    assert seen == [("stdout", "caf\xe9 \ufffd")]
    assert done.stdout == b"caf\xc3\xa9 \xff"
    seen.clear()
    done = await run("printf", r"caf\351", on_output=on_output, encoding="latin-1")
    assert (seen, done.stdout) == ([("stdout", "caf\xe9")], "caf\xe9")


async def test_p24_bytes_that_are_no_text_are_an_error_only_at_the_end(
    seen: Seen,
) -> None:
    with pytest.raises(UnicodeDecodeError):
        await run("printf", r"a\377\nb", on_output=seen, text=True)
    assert seen == [("stdout", "a\ufffd\n"), ("stdout", "b")]


async def test_p24_the_lines_are_the_output(
    on_output: Callable[..., Any], seen: Seen
) -> None:
    done = await run("seq", "100000", on_output=on_output, text=True)
    assert "".join(text for _, text in seen) == done.stdout
    assert len(seen) == 100_000


async def test_p24_one_endless_line_comes_in_parts(seen: Seen) -> None:
    size = 5_000_000
    await run("head", "-c", str(size), "/dev/zero", on_output=seen, stderr=None)
    parts = [len(text) for _, text in seen]
    assert sum(parts) == size
    assert max(parts) < 2_000_000


async def test_p24_only_pipes_are_seen(seen: Seen) -> None:
    script = "echo out; echo err >&2"
    await run("sh", "-c", script, on_output=seen, stdout=subprocess.DEVNULL)
    assert seen == [("stderr", "err\n")]
    seen.clear()
    await run("sh", "-c", script, on_output=seen, stderr=subprocess.STDOUT)
    assert seen == [("stdout", "out\n"), ("stdout", "err\n")]


async def test_p24_anything_that_can_be_called(seen: Seen) -> None:
    async def noted(into: Seen, source: str, text: str) -> None:
        await anyio.lowlevel.checkpoint()
        into.append((source, text))

    await run("echo", "1", on_output=partial(noted, seen))
    await run("echo", "2", on_output=lambda *line: noted(seen, *line))
    assert [text for _, text in seen] == ["1\n", "2\n"]


# -- its pauses ----------------------------------------------------------------


async def forever(source: str, text: str) -> None:
    await anyio.sleep_forever()


async def cut_short(
    *command: str, on_output: Callable[..., Any], **options: Any
) -> within.ProcessTimeout:
    """Run it with a limit that passes after the first call of ``on_output``."""
    called = False

    def note(source: str, text: str) -> Any:
        nonlocal called
        called = True
        return on_output(source, text)

    async def note_later(source: str, text: str) -> None:
        await note(source, text)

    is_async = inspect.iscoroutinefunction(on_output)
    for limit in longer_and_longer():
        with pytest.raises(within.ProcessTimeout) as raised:
            await run(
                *command,
                on_output=note_later if is_async else note,
                timeout=limit,
                **options,
            )
        if called:
            break
    return raised.value


async def test_p24_a_pause_is_back_pressure_and_the_limit_ends_it() -> None:
    error = await cut_short("yes", on_output=forever, stop=QUICK)
    assert 0 < len(error.stdout) < 1_000_000
    assert error.returncode == -signal.SIGTERM


async def test_p24_after_the_exit_the_limit_still_holds_for_a_pause() -> None:
    error = await cut_short("seq", "10", on_output=forever)
    assert error.returncode == 0
    assert error.stdout == b"".join(b"%d\n" % n for n in range(1, 11))


async def test_p24_lines_of_what_the_child_left_behind(
    on_output: Callable[..., Any], seen: Seen, silence: int
) -> None:
    numbers = "for n in 1 2 3 4; do read -r _; echo $n; done"
    script = f"({numbers}) </dev/fd/{silence} & echo done"
    stop = within.Stop(pause=30, linger=60)
    how: Any = {"pass_fds": [silence], "stop": stop}
    await run("sh", "-c", script, on_output=on_output, **how)
    assert [text for _, text in seen] == ["done\n", "1\n", "2\n", "3\n", "4\n"]


@needs_members
async def test_p6_an_endless_writer_is_ended_however_slow_the_function(
    seen: Seen,
) -> None:
    stop = within.Stop(pause=30, linger=0.05)
    with within.timeout(PATIENCE):
        script = f"yes {'x' * 9000} & echo done >&2"  # few lines, as each is a call
        await run("sh", "-c", script, on_output=seen.later, stop=stop)
    assert ("stderr", "done\n") in seen


# -- the end -------------------------------------------------------------------

PATIENT = within.Stop(grace=PATIENCE)
BYE = ("sh", "-c", "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.01; done")


async def test_p24_a_function_sees_what_is_written_after_the_signal(seen: Seen) -> None:
    error = await cut_short(*BYE, on_output=seen, text=True, stop=PATIENT)
    assert [text for pipe, text in seen if pipe == "stdout"] == ["hi\n", "bye\n"]
    assert error.stdout == "hi\nbye\n"


async def test_p24_a_coroutine_function_is_not_called_after_the_limit(
    seen: Seen,
) -> None:
    error = await cut_short(*BYE, on_output=seen.later, text=True, stop=PATIENT)
    assert [text for _, text in seen] == ["hi\n"]
    assert error.stdout == "hi\nbye\n"


async def test_p24_too_much_output_is_seen_to_the_end(
    on_output: Callable[..., Any], seen: Seen
) -> None:
    # The inner shell speaks, because it has no trap. In the outer one's fork, the trap
    # would swallow a signal that comes before the exec.
    speaks = f"sh -c 'echo 1234; exec sleep {FOREVER}'"
    script = f"trap 'echo bye; exit' TERM; {speaks} & wait"
    how: Any = {"max_output": 2, "text": True, "stop": PATIENT}
    with pytest.raises(within.OutputLimitExceeded) as raised:
        await run("sh", "-c", script, on_output=on_output, **how)
    assert [text for pipe, text in seen if pipe == "stdout"] == ["1234\n", "bye\n"]
    assert (raised.value.stdout, raised.value.dropped) == ("12", 7)


@pytest.mark.parametrize("is_async", [False, True])
async def test_p24_an_error_ends_the_command_and_leaves_run(
    is_async: bool, seen: Seen
) -> None:
    def fail(source: str, text: str) -> None:
        seen(source, text)
        raise LookupError(text)

    async def fail_later(source: str, text: str) -> None:
        await anyio.lowlevel.checkpoint()
        fail(source, text)

    script = f"echo 1; echo 2; sleep {FOREVER} & wait"
    with within.timeout(PATIENCE), pytest.raises(LookupError, match="1"):
        await run("sh", "-c", script, on_output=fail_later if is_async else fail)
    assert seen == [("stdout", "1\n")]


async def test_p24_an_error_while_the_command_is_being_stopped() -> None:
    def fail(source: str, text: str) -> None:
        if text == "bye\n":
            raise LookupError(text)

    with pytest.raises(LookupError) as raised:
        await cut_short(*BYE, on_output=fail, stop=PATIENT)
    chain, found = [], raised.value.__context__
    while found is not None:
        chain.append(type(found))
        found = found.__context__
    assert within.DeadlineExceeded in chain  # T9


async def test_t25_a_limit_around_it_has_the_output(
    on_output: Callable[..., Any],
) -> None:
    async def interrupted(script: str, on_output: Callable[..., Any]) -> Any:
        for delay in longer_and_longer():
            with within.move_on_after(delay) as limit:
                await run("sh", "-c", script, on_output=on_output)
            if limit.interrupted is not None and limit.interrupted.stdout:
                break
        return limit.interrupted

    done = await interrupted(f"echo hi; sleep {FOREVER}", on_output)
    assert done.stdout == b"hi\n"
    done = await interrupted("echo hi", forever)
    assert (done.returncode, done.stdout) == (0, b"hi\n")


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"on_output": "print"}, TypeError, "give a function"),
        (
            {"on_output": print, "stdout": None, "stderr": subprocess.STDOUT},
            ValueError,
            "neither stdout nor stderr is PIPE",
        ),
    ],
)
async def test_bad_arguments(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await run("true", **options)
