"""Mistakes with processes: the error names the value and the way out."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest

import within
from within import PIPE, Process, process, server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.mark.parametrize("start", [process, server])
async def test_p1_statements_that_need_a_process_that_is_opened(start: Any) -> None:
    name = start.__name__
    with pytest.raises(TypeError, match=rf"{name}\(...\) is entered with `async with`"):
        with start("true"):
            pass
    not_yet = rf"<{name}\(...\) not opened yet> is not iterable: use the result of"
    with pytest.raises(TypeError, match=not_yet):
        async for _ in start("true"):
            pass
    with pytest.raises(TypeError, match=not_yet):
        list(start("true"))
    opening = start("true")
    with pytest.raises(AttributeError, match=r"'stdout': use the result of") as caught:
        _ = opening.stdout
    assert caught.value.name == "stdout"
    async with opening:
        pass


async def test_p1_statements_without_async() -> None:
    async with process("true") as child:
        some: Any = child
        with pytest.raises(TypeError, match="is entered with `async with`, not with"):
            with some:
                pass
        with pytest.raises(TypeError, match="are read with `async for`"):
            list(some)
        with pytest.raises(TypeError, match="is iterated over with `async for`"):
            list(some.output())


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"max_line": "3"}, TypeError, "max_line is '3': give a number"),
        ({"max_line": True}, TypeError, "max_line is True"),
        ({"max_line": 2.5}, TypeError, r"max_line is 2\.5"),
        ({"max_line": 0}, ValueError, "max_line is 0"),
        ({"encoding": 5}, TypeError, "encoding is 5: give its name"),
        ({"errors": None}, TypeError, "errors is None"),
        ({"env": 5}, TypeError, "env is of type int: give a mapping"),
        ({"env": {"SECRET": 1234}}, TypeError, r"env\['SECRET'\] is of type int: give"),
        ({"env": {3: "1234"}}, TypeError, "env has the name 3: give text"),
        ({"cwd": 5}, TypeError, "cwd is 5: give a path"),
        ({"executable": 5}, TypeError, "executable is 5: give a path"),
        ({"preexec_fn": 5}, TypeError, "preexec_fn is 5: give a function"),
        ({"pass_fds": 5}, TypeError, "pass_fds is 5: give a list of file desc"),
        ({"pass_fds": ["5"]}, TypeError, r"pass_fds is \['5'\]: give a list of file"),
        ({"pass_fds": [True]}, TypeError, r"pass_fds is \[True\]: give a list"),
        ({"umask": "5"}, TypeError, "umask is '5': give a number from 0 to 0o777"),
        ({"umask": -5}, TypeError, "umask is -5: give a number from 0 to 0o777"),
        ({"umask": 512}, TypeError, "umask is 512: give a number from 0 to 0o777"),
        ({"extra_groups": 5}, TypeError, "extra_groups is 5: give a list of names"),
        ({"extra_groups": "wheel"}, TypeError, "extra_groups is 'wheel': give a list"),
        ({"extra_groups": [2.5]}, TypeError, r"extra_groups is 2\.5: give a name"),
        ({"pty": True, "stderr": -2}, ValueError, "stderr=STDOUT and pty=True"),
        ({"pty": True, "stdout": -3}, ValueError, "stdout=DEVNULL and pty=True"),
        ({"pty": True, "stdin": []}, ValueError, r"stdin=\[\] and pty=True"),
    ],
)
@pytest.mark.parametrize("start", [process, server])
async def test_p2_bad_options(
    start: Any, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    if start is process and options.get("stdin") == []:
        words = r"stdin is \[\]"
        kind = TypeError
    with pytest.raises(kind, match=words) as caught:
        await start("true", **options)
    assert "1234" not in str(caught.value)  # it may be a secret


async def test_p20_only_a_stdout_can_be_given_and_only_as_stdin() -> None:
    way = ": connect two processes with stdin=other.stdout"
    async with process("cat") as child:
        for name in ("stdin", "stdout", "stderr"):
            says = f"{name} is stdin of `cat`, which your program writes to{way}"
            with pytest.raises(ValueError, match=re.escape(says)):
                await process("cat", **{name: child.stdin})
        for name in ("stdout", "stderr"):
            says = f"{name} is stdout of `cat`, which can only be read{way}"
            with pytest.raises(ValueError, match=re.escape(says)):
                await process("cat", **{name: child.stdout})


async def test_p20_a_second_child_does_not_get_the_stream_of_the_first() -> None:
    async with (
        process("echo", "one") as first,
        process("cat", stdin=first.stdout) as second,
    ):
        with pytest.raises(ValueError, match="stdout of `echo one` cannot be handed"):
            await process("cat", stdin=first.stdout)
        # It is still known that another child has it.
        assert [pair async for pair in first.output()] == []
        assert await second.read() == "one\n"


async def _call(child: Process[Any, Any, Any], name: str, *values: Any) -> None:
    target: Any = child
    for part in name.split("."):
        target = getattr(target, part)
    result = target(*values)
    if hasattr(result, "__await__"):
        await result


@pytest.mark.parametrize(
    ("name", "values", "kind", "words"),
    [
        ("write", (3,), TypeError, "data is 3: give str or bytes"),
        ("communicate", (3,), TypeError, "input is 3: give str or bytes"),
        ("communicate", (0,), TypeError, "input is 0: give str or bytes"),
        ("stdin.send", ("a",), TypeError, r"data is 'a': give bytes \(write\(\)"),
        ("stdin.send", (3,), TypeError, "data is 3: give bytes$"),
        ("stdout.receive", (0,), ValueError, "max_bytes is 0: give 1 or more"),
        ("stdout.receive", ("a",), TypeError, "max_bytes is 'a': give a number"),
        ("send_signal", ("TERM",), TypeError, "number is 'TERM': give one of"),
        ("send_signal", (999,), ValueError, "number is 999: there is no such"),
        ("send_signal", (-1,), ValueError, "number is -1: there is no such"),
    ],
)
async def test_bad_arguments_of_a_process(
    name: str, values: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    async with process("cat", stdin=PIPE) as child:
        with pytest.raises(kind, match=words):
            await _call(child, name, *values)
        await child.write("as before\n")
        assert await child.readline() == "as before\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "stdout.readline",
            r"ReceiveStream .*'readline': receive\(\) returns.*process",
        ),
        (
            "stdout.read",
            r"'read': receive\(\) .* use the methods of the process itself",
        ),
        (
            "stdin.write",
            r"SendStream .*'write': send\(\) .* use write\(\) of the process",
        ),
        (
            "stdin.drain",
            r"'drain': send\(\) sends bytes, and aclose\(\) ends the input",
        ),
    ],
)
async def test_p17_a_method_of_other_streams_leads_to_ours(
    name: str, words: str
) -> None:
    async with process("cat") as child:
        with pytest.raises(AttributeError, match=words) as caught:
            await _call(child, name)
        assert caught.value.name == name.partition(".")[2]
        assert not hasattr(child.stdout, "_anything")


@pytest.mark.parametrize("data", ["text", b"text", "a" * 10_000])
async def test_p2_input_is_not_given_as_stdin(data: Any) -> None:
    way = (
        r"stdin is b?'.*': pass .* as input= of run\(\), or .* write\(\) after process"
    )
    for start in (within.run, process):
        with pytest.raises(TypeError, match=way) as caught:
            await start("cat", stdin=data)
        assert len(str(caught.value)) < 200


async def test_p23_an_invalid_signal_does_not_ask_for_the_exit() -> None:
    """The exit is still an error, as the block has not asked for it."""
    with pytest.raises(within.ServerFailed, match="status 3"):
        async with server("sh", "-c", "read -r _; exit 3") as running:
            with pytest.raises(ValueError, match="999"):
                running.send_signal(999)
            await running.write("\n")
            while running.returncode is None:
                await anyio.sleep(0.001)


async def test_p24_a_generator_function_is_refused() -> None:
    def show(source: str, text: str) -> Any:
        yield source, text

    async def show_later(source: str, text: str) -> Any:
        yield source, text

    for function in (show, show_later):
        with pytest.raises(
            TypeError, match=r"show.* a generator function.*leave the yield"
        ):
            await within.run("true", on_output=function)
