"""run(keep=..., max_output=...): a part of the output, and the child goes on (P24)."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import pytest
from children import longer_and_longer
from hypothesis import example, given, strategies as st

import within
from within import run
from within._processes._decoding import Text
from within._processes._keep import keeper

on_each_loop = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PIPES = ("stdout", "stderr")
Chunks = list[tuple[str, bytes]]
CHUNKS = st.lists(st.tuples(st.sampled_from(PIPES), st.binary(max_size=6)))


def reference(chunks: Chunks, keep: str, limit: int) -> tuple[bytes, bytes]:
    """What is to be kept of the two pipes, byte by byte."""
    bytes_in_order = [(pipe, byte) for pipe, data in chunks for byte in data]
    count = len(bytes_in_order)
    kept = bytes_in_order[max(0, count - limit) :]
    if keep == "head":
        kept = bytes_in_order[:limit]
    out, err = (bytes(byte for pipe, byte in kept if pipe == name) for name in PIPES)
    return out, err


@given(CHUNKS, st.sampled_from(["head", "tail"]), st.integers(0, 30))
@example([("stdout", b"abc"), ("stderr", b""), ("stdout", b"d")], "tail", 2)
@example([("stdout", b"abc"), ("stderr", b"xyz"), ("stdout", b"d")], "tail", 4)
def test_p24_what_is_kept_is_what_came_first_or_last(
    chunks: Chunks, keep: Any, limit: int
) -> None:
    kept = keeper(PIPES, keep, limit)
    sinks = {name: kept.sink(name) for name in PIPES}
    for pipe, data in chunks:
        sinks[pipe](data)
    out, err = reference(chunks, keep, limit)
    assert (kept.get("stdout"), kept.get("stderr")) == (out, err)
    for name, part in (("stdout", out), ("stderr", err)):
        whole = sum(len(data) for pipe, data in chunks if pipe == name)
        assert kept.dropped[name] == whole - len(part)


@pytest.mark.parametrize("chunk", [1, 100, 65536])
def test_p24_a_tail_costs_no_more_memory_than_its_bound(chunk: int) -> None:
    limit, data = max(chunk, 16384), bytes(chunk)

    def peak() -> int:
        kept = keeper(PIPES, "tail", limit)
        sinks = [kept.sink(name) for name in PIPES]
        tracemalloc.start()
        try:
            for number in range(4 * limit // chunk):
                sinks[number // 16 % 2](data)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The threads of pytest-xdist may need memory at the same time.
    assert any(peak() < 3 * limit + chunk for _ in range(3))


@given(
    st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1"]),
    st.data(),
)
def test_p24_a_character_that_is_cut_is_left_out(
    text: str, encoding: str, data: st.DataObject
) -> None:
    if encoding == "latin-1":
        text = "".join(character for character in text if ord(character) < 256)
    whole = text.encode(encoding)
    cut = data.draw(st.integers(0, len(whole)))
    how = Text(encoding, "strict")
    head = how.decode(whole[:cut], is_cut_off=True)
    tail = how.decode(whole[cut:], missing_before=cut)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(text) - 1 <= len(head) + len(tail) <= len(text)


def test_p24_what_is_wrong_elsewhere_is_not_hidden_by_a_cut() -> None:
    strict = Text("utf-8", "strict")
    for data in (b"\x82\xac and then \xff", b"\xff\xff\xff\xff\xff"):
        with pytest.raises(UnicodeDecodeError):
            strict.decode(data, missing_before=1)
        assert "\ufffd" in Text("utf-8", "replace").decode(data, missing_before=1)


# -- a whole command -----------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "expected"), [("head", "1\n2\n3"), ("tail", "\n100000\n")]
)
class TestKeep:
    pytestmark = on_each_loop

    async def test_p24_the_child_goes_on(self, keep: Any, expected: str) -> None:
        script = "seq 100000; exit 3"
        size = len(expected)
        done = await run(
            "sh", "-c", script, max_output=size, keep=keep, check=False, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, expected, "")
        assert done.dropped == 588_895 - size

    async def test_p24_a_failure_tells_what_was_dropped(
        self, keep: Any, expected: str
    ) -> None:
        script = "seq 100000 >&2; exit 3"
        with pytest.raises(subprocess.CalledProcessError) as raised:
            await run("sh", "-c", script, max_output=len(expected), keep=keep)
        error: Any = raised.value
        assert error.stderr == expected.encode()
        assert error.dropped == 588_895 - len(expected)
        part = {"head": "the kept part of stderr", "tail": "stderr"}[keep]
        assert error.__notes__ == [
            f"{part} ends with:\n{expected.rstrip()}",
            f"{error.dropped} bytes of its output were not kept",
        ]

    async def test_p24_a_timeout_tells_what_was_dropped(
        self, keep: Any, expected: str
    ) -> None:
        script = "seq 100000; exec sleep 600"
        how: Any = {"max_output": len(expected), "keep": keep, "text": True}
        for limit in longer_and_longer():
            with pytest.raises(within.ProcessTimeout) as raised:
                await run("sh", "-c", script, timeout=limit, **how)
            if raised.value.dropped >= 588_895 - len(expected):
                break
        assert raised.value.stdout == expected
        assert raised.value.dropped == 588_895 - len(expected)


@pytest.mark.anyio
async def test_p24_nothing_is_dropped_without_need() -> None:
    for options in ({}, {"max_output": 5}, {"max_output": 5, "keep": "tail"}):
        how: Any = options
        done = await run("printf", "12345", **how)
        assert (done.stdout, done.dropped) == (b"12345", 0)


@pytest.mark.anyio
async def test_p24_text_that_is_cut_within_a_character() -> None:
    for keep, expected in (("head", "ä"), ("tail", "ü")):
        how: Any = {"keep": keep, "max_output": 3, "text": True}
        done = await run("printf", r"\303\244\303\266\303\274", **how)
        assert (done.stdout, done.dropped) == (expected, 3)
    with pytest.raises(within.OutputLimitExceeded) as raised:
        await run("printf", r"\303\244\303\266", max_output=3, text=True)
    assert raised.value.stdout == "ä"


@pytest.mark.anyio
async def test_p24_a_long_tail_takes_linear_time() -> None:
    """Each read is a little of a large tail: moving that each time would take minutes."""
    program = "import os\nfor n in range(20_000): os.write(1, b'0123456789' * 300)"
    how: Any = {"keep": "tail", "max_output": 20_000_000, "timeout": 60}
    done = await run(sys.executable, "-c", program, **how)
    assert (len(done.stdout), done.dropped) == (20_000_000, 40_000_000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"keep": "tail"}, ValueError, "keep='tail' needs max_output"),
        ({"keep": "head", "max_output": None}, ValueError, "needs max_output"),
        ({"keep": "end", "max_output": 5}, ValueError, 'give "all", "head" or "tail"'),
        ({"keep": None, "max_output": 5}, ValueError, "keep is None"),
        ({"keep": ["tail"], "max_output": 5}, ValueError, "keep is"),
        ({"keep": "tail", "max_output": -1}, ValueError, "-1"),
        ({"keep": "tail", "max_output": True}, TypeError, "True"),
    ],
)
async def test_p24_bad_arguments(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await run("true", **options)
