"""One buffer under text and bytes: nothing is lost or doubled, however they are mixed.

The properties of P22, against references that know nothing of a buffer.
"""

from __future__ import annotations

import contextlib
import os
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from within._processes._decoded import Decoded
from within._processes._ends import Output
from within._processes._pipe_reader import PipeReader
from within._processes._streams import ReceiveStream
from within._processes._text import TextReader

drawn = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ALPHABET = ["a", "b", "\n", "\r", "\r\n", "ä", "€", "😀", "\u2028"]
texts = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)


def translated(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# -- bytes and text in turn -------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """What is left of some UTF-8, and what may be read of it.

    Attributes:
        after_return: The last character was a "\r", read as text, so that a "\n" here
            belongs to the same line end for a reader of text. A reader of bytes finds it.
    """

    data: bytes
    after_return: bool = False

    def characters(self) -> Iterator[tuple[str, int, bool]]:
        """Each character, with line ends translated; where it ends; if it was "\r"."""
        data, at = self.data, 0
        if self.after_return and data[:1] == b"\n":
            at = 1
        while at < len(data):
            for size in (1, 2, 3, 4):
                with contextlib.suppress(UnicodeDecodeError):
                    found, end = data[at : at + size].decode(), at + size
                    break
            else:  # a reader of bytes has stopped within a character
                found, end = "\ufffd", at + 1
            if found == "\r":
                yield "\n", end, True
                end += data[end : end + 1] == b"\n"
            else:
                yield found, end, False
            at = end

    def text(self) -> str:
        return "".join(found for found, _, _ in self.characters())

    def after_text(self, text: str) -> set[Reference]:
        """What may be left once ``text`` was read: the "\n" after a "\r" may have been
        read with it, or not have been there yet.
        """
        found = list(self.characters())[: len(text)]
        if "".join(it for it, _, _ in found) != text:
            return set()
        if not found:
            return {self}
        _, end, is_return = found[-1]
        left = {Reference(self.data[end:], is_return)}
        if is_return and self.data[end : end + 1] == b"\n":
            left.add(Reference(self.data[end + 1 :]))
        return left

    def after_bytes(self, data: bytes) -> set[Reference]:
        if not self.data.startswith(data):
            return set()
        return {Reference(self.data[len(data) :])}


def line_of(text: str) -> str:
    return text[: text.index("\n") + 1] if "\n" in text else text


def until(wanted: str, text: str) -> str | None:
    found = text.find(wanted)
    return None if found < 0 else text[: found + len(wanted)]


@dataclass
class Reading:
    """Reads a pipe in all the ways there are, and checks each against the reference."""

    reader: TextReader
    left: set[Reference]
    over: bool = False

    async def line(self) -> None:
        found = await self.reader.readline()
        self._took(found, line_of)

    async def anext(self) -> None:
        try:
            found = await anext(self.reader)
        except StopAsyncIteration:
            found = ""
        self._took(found, line_of)

    async def some(self) -> None:
        found = await self.reader.read(3)
        assert len(found) <= 3
        self._took(found, lambda text: text[: len(found)] if found else text)

    async def until_text(self) -> None:
        found = await self.reader.read_until("b\n")
        self._took(found, lambda text: until("b\n", text))

    async def until_pattern(self) -> None:
        found = await self.reader.read_until(re.compile("\u20ac"))
        self._took(found, lambda text: until("\u20ac", text))

    def _took(self, found: str | None, expected: Callable[[str], str | None]) -> None:
        fits = {it for it in self.left if expected(it.text()) == found}
        self.left = set[Reference]().union(*(it.after_text(found or "") for it in fits))
        assert self.left, found
        self.over = found == ""

    async def bytes(self) -> None:
        found = b""
        with contextlib.suppress(anyio.EndOfStream):
            found = await ReceiveStream(self.reader.pipe).receive(2)
        assert len(found) <= 2
        self.left = set[Reference]().union(*(it.after_bytes(found) for it in self.left))
        assert self.left, found
        if not found:
            self.over = True
            assert Reference(b"") in {Reference(it.data) for it in self.left}


WAYS = ["line", "anext", "some", "until_text", "until_pattern", "bytes"]


@dataclass(frozen=True)
class Turn:
    """One read, cancelled if it has not ended after so many passes, and what comes."""

    way: str
    before: int
    bytes: int
    after: int


turns = st.lists(
    st.builds(
        Turn,
        st.sampled_from(WAYS),
        st.integers(0, 4),
        st.integers(0, 9),
        st.integers(0, 4),
    ),
    max_size=25,
)


@contextlib.contextmanager
def pipe(encoding: str, errors: str) -> Iterator[tuple[TextReader, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    stream = PipeReader(Output(reading))
    try:
        yield TextReader(stream, encoding, errors, None), writing
    finally:
        stream.close()


async def passes(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.usefixtures("nothing_is_left")
@drawn
@example(text="a\r\nb\n", plan=[Turn("line", 0, 2, 4), Turn("bytes", 0, 9, 4)])
@example(text="a\r\nb\n", plan=[Turn("line", 0, 3, 4), Turn("bytes", 0, 9, 4)])
@example(
    text="ab\na\r\nb\n",
    plan=[Turn("line", 0, 5, 4), Turn("line", 0, 0, 4), Turn("bytes", 0, 9, 4)],
)
@example(text="😀😀a\n", plan=[Turn("bytes", 0, 9, 4), Turn("line", 0, 1, 4)])
@example(text="a\r\na", plan=[Turn("some", 0, 2, 4), Turn("line", 0, 1, 2)])
@given(text=texts, plan=turns)
async def test_p22_bytes_and_text_in_turn_cancelled_at_any_time(
    text: str, plan: list[Turn]
) -> None:
    data, sent = text.encode(), 0
    with pipe("utf-8", "replace") as (reader, writing):
        reading = Reading(reader, {Reference(data)})
        for turn in plan:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(getattr(reading, turn.way))
                await passes(turn.before)
                if piece := data[sent : sent + turn.bytes]:
                    os.write(writing, piece)
                sent += turn.bytes
                await passes(turn.after)
                tasks.cancel_scope.cancel()
        os.write(writing, data[sent:])
        os.close(writing)
        for way in cycle([turn.way for turn in plan] + ["bytes", "line"]):
            await getattr(reading, way)()
            if reading.over:
                break


# -- any encoding -----------------------------------------------------------------

ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "utf-7",
    "gb18030",
    "big5hkscs",
    "euc_jp",
    "shift_jis",
    "iso2022_jp",
    "hz",
    "latin-1",
    "cp437",
    "ascii",
]
READS = ["line", "some", "back", "back", "more"]


def read_all(decoded: Decoded, pieces: list[bytes], plan: Iterable[str]) -> str:
    """Feed the pieces and read in turn, giving bytes back now and then."""
    found: list[str] = []
    waiting = pieces[::-1]
    for way in plan:
        if way == "more":  # while some text is still unread
            if waiting and (rest := decoded.feed(waiting.pop())):
                waiting.append(rest)
            continue
        if way == "back":
            if back := decoded.give_back():
                waiting.append(back)
            continue
        while not decoded.holds_text():
            if not waiting:
                decoded.feed(b"", final=True)
                break
            if rest := decoded.feed(waiting.pop()):
                waiting.append(rest)
        if not decoded.holds_text():
            break
        if way == "line":
            if not decoded.lines:
                decoded.split(None)
            found.append(decoded.lines.pop() if decoded.lines else decoded.take(9))
        else:
            found.append(decoded.take(2))
    return "".join(found)


plans = st.lists(st.sampled_from(READS), min_size=1, max_size=12).map(
    lambda ways: [*ways, "some"]
)
cuts = st.lists(st.integers(0, 80), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(it for it in places if it < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@drawn
@example(text="a\r\nb", places=[2], ways=["some", "back", "some"])
@example(text="\r\n", places=[1], ways=["some", "some", "back", "some"])
@example(text="abc\r\nde", places=[1, 4], ways=["more", "some", "more", "back", "some"])
@given(
    text=st.lists(
        st.sampled_from(["a", "~", "+", "\n", "\r", "\r\n", "é", "本", "日本"]),
        max_size=30,
    ).map("".join),
    places=cuts,
    ways=plans,
)
def test_p22_text_that_was_given_back_as_bytes_is_read_again(
    encoding: str, text: str, places: list[int], ways: list[str]
) -> None:
    data = text.encode(encoding, "ignore")
    text = data.decode(encoding)
    decoded = Decoded(encoding, "strict")
    assert read_all(decoded, cut(data, places), cycle(ways)) == translated(text)


@pytest.mark.parametrize(
    ("encoding", "errors"),
    [
        (encoding, errors)
        for encoding in ("utf-8", "utf-16-le", "euc_jp", "ascii")
        for errors in ("replace", "ignore", "backslashreplace")
    ]
    + [("utf-8", "surrogateescape"), ("ascii", "surrogateescape")],
)
@drawn
@example(data=b"\xe2\x82a", places=[], ways=["some", "back", "some"])
@example(data=b"\xe2\x82", places=[], ways=["some", "back", "some"])
@example(data=b"\x00\xd8a\x00b\x00", places=[3], ways=["some", "back", "some"])
@given(
    data=st.lists(
        st.sampled_from(
            [b"\xe2", b"\x82", b"\xac", b"a", b"\x00", b"\r", b"\n", b"\xff", b"\xd8"]
        ),
        max_size=20,
    ).map(b"".join),
    places=cuts,
    ways=plans,
)
def test_p22_bytes_that_are_no_text_can_be_given_back_too(
    encoding: str, errors: str, data: bytes, places: list[int], ways: list[str]
) -> None:
    whole = translated(data.decode(encoding, errors))
    decoded = Decoded(encoding, errors)
    assert read_all(decoded, cut(data, places), cycle(ways)) == whole


def test_p22_only_the_bytes_of_unread_text_are_kept() -> None:
    decoded = Decoded("utf-8", "strict")
    whole = ("x" * 999 + "\n").encode() * 4000  # no piece below ends with a line
    tracemalloc.start()
    try:
        for start in range(0, len(whole), 4097):
            decoded.feed(whole[start : start + 4097])
            decoded.split(None)
            decoded.lines.clear()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 100_000
    assert decoded.give_back() == b""


def test_p22_bytes_that_decode_to_less_at_once_are_all_given_back() -> None:
    """At the end, gb18030 keeps what follows an invalid byte, for one more call."""
    decoded = Decoded("gb18030", "surrogateescape")
    decoded.feed(b"-\xa72")
    assert decoded.take(1) == "-"
    decoded.feed(b"", final=True)
    decoded.feed(b"", final=True)
    assert decoded.text() == "\udca72"
    assert decoded.give_back() == b"\xa72"
