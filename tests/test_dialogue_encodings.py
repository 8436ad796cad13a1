"""Text that is read in several ways, in encodings whose bytes depend on those before."""

from __future__ import annotations

import codecs
from typing import Any

import pytest

import within
from within import PIPE, IncompleteOutput, process

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

# Writes the bytes that it is given as octal escapes, to stdout and to stderr.
WRITE = 'printf "$1"; printf "$1" >&2'


def writing(data: bytes, **options: Any) -> within.Opening[within.Process]:
    octal = "".join(f"\\{byte:03o}" for byte in data)
    return process("sh", "-c", WRITE, "sh", octal, stderr=PIPE, **options)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("utf-16", codecs.BOM_UTF16_BE + "ä1\nb2\n".encode("utf-16-be")),
        ("utf-16", "ä1\nb2\n".encode("utf-16")),
        ("utf-8-sig", "ä1\nb2\n".encode("utf-8-sig")),
        ("iso2022_jp", "日\n本\n".encode("iso2022_jp")),
    ],
    ids=["big", "native", "sig", "escapes"],
)
async def test_p22_communicate_goes_on_where_the_last_read_stopped(
    encoding: str, data: bytes
) -> None:
    text = data.decode(encoding)
    async with writing(data, encoding=encoding) as child:
        assert await child.read(1) == text[0]
        done = await child.communicate()
    assert done.stdout == text[1:]
    assert done.stderr == text


async def test_p22_interrupted_begins_where_the_last_read_stopped() -> None:
    script = r"printf '\376\377\000a\000b'; echo go >&2; exec sleep 600"
    with within.Timeout(quiet=True) as limit:
        async with process(
            "sh",
            "-c",
            script,
            encoding="utf-16",
            stderr=PIPE,
            stop=within.Stop(grace=0),
        ) as child:
            assert await child.stderr.receive() == b"go\n"
            assert await child.read(1) == "a"
            limit.reschedule(within.current_time() + 0.05)
            await child.communicate()
    assert limit.interrupted is not None
    assert limit.interrupted.stdout == "b"


async def test_p22_communicate_after_a_carriage_return_has_no_extra_line() -> None:
    script = r"printf '50%%\r'; read -r _; printf '\nnext\n'"
    async with process("sh", "-c", script) as child:
        assert await child.readline() == "50%\n"
        done = await child.communicate("go on\n")
    assert done.stdout == "next\n"


async def test_p22_the_input_ends_as_its_encoding_requires() -> None:
    """Here with the switch back to ASCII, which the write before it did not send."""
    async with process("cat", encoding="iso2022_jp") as child:
        await child.write("日")
        done = await child.communicate("本")
    assert done.stdout == "日本"
    async with process("od", "-An", "-c", encoding="iso2022_jp") as child:
        done = await child.communicate("日")
    assert done.stdout.split()[-3:] == ["033", "(", "B"]


async def test_p22_the_end_of_stderr_begins_where_the_last_read_stopped() -> None:
    data = codecs.BOM_UTF16_BE + "a1\nb2\n".encode("utf-16-be")
    async with writing(data, encoding="utf-16") as child:
        async for source, line in child.output():
            if (source, line) == ("stderr", "a1\n"):
                break
        with pytest.raises(IncompleteOutput) as caught:
            await child.read_until("never")
    assert caught.value.stderr == "b2\n"


@pytest.mark.parametrize("errors", ["xmlcharrefreplace", "namereplace"])
async def test_p9_p22_an_error_handler_that_can_only_encode(errors: str) -> None:
    """What is read is checked strictly then, and the error has the output (P9)."""
    written = "ä".encode("ascii", errors)
    options: Any = {"encoding": "ascii", "errors": errors}
    async with process("cat", **options) as child:
        await child.write("ä")
        assert await child.read(len(written)) == written.decode()
        await child.write(b"\xff")
        with pytest.raises(UnicodeDecodeError):
            await child.read()
        assert await child.stdout.receive() == b"\xff"
    with pytest.raises(UnicodeDecodeError) as caught:
        await within.run("printf", r"\377", **options)
    assert caught.value.completed.stdout == b"\xff"  # type: ignore[attr-defined]


def _refuse(error: UnicodeError) -> tuple[str, int]:
    raise RuntimeError("this handler raises")


async def test_p22_whatever_an_error_handler_raises_no_byte_is_lost() -> None:
    codecs.register_error("within-test-refuse", _refuse)
    async with writing(b"a\xffb", errors="within-test-refuse") as child:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="this handler raises"):
                await child.read()
        assert await child.stdout.receive() == b"a\xffb"
