"""What a server writes when it is ready, however it comes (P23)."""

from __future__ import annotations

import codecs
import os
import re
import threading
from typing import Any

import pytest
from children import FOREVER, after_each_chunk, shell

import within
from within._processes import _decoded, _log_end
from within._processes._decoding import Text
from within._processes._ready import Sought

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

UTF_8 = Text("utf-8", "replace")


async def test_p23_a_match_that_may_grow_is_not_taken_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    after_each_chunk(monkeypatch, lambda: os.write(writing, b"go on\n"))
    monkeypatch.setattr(_log_end, "_SETTLED", 60)
    script = f"printf 'port 80'; read -r _; echo 42; exec sleep {FOREVER}"
    ready = re.compile("port ([0-9]+)")
    async with shell(script, ready=ready, stdin=reading) as server:
        assert server.match[1] == "8042"
    os.close(reading)
    os.close(writing)


async def test_p23_a_match_in_a_line_that_does_not_end_is_taken_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_log_end, "_SETTLED", 0.01)
    script = f"printf 'ready> '; exec sleep {FOREVER}"
    async with shell(script, ready=re.compile("ready.*")) as server:
        assert server.match[0] == "ready> "


async def test_p23_a_match_at_the_end_of_the_output_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_log_end, "_SETTLED", 60)
    script = f"printf ready; exec >&- 2>&-; exec sleep {FOREVER}"
    async with shell(script, ready=re.compile("r[a-z]+")) as server:
        assert server.match[0] == "ready"


@pytest.mark.parametrize("wanted", ["b ready", re.compile("b ready")])
def test_p23_a_text_is_found_however_its_line_is_cut(wanted: Any) -> None:
    for data in (b"a\nb ready\n", b"b b ready.", "\x1b[32mä\rb ready \x1b[m".encode()):
        for cut in range(len(data)):
            sought = Sought(wanted, UTF_8)
            found = [sought.is_in(data[:cut]), sought.is_in(data[cut:])]
            assert any(found), (data, cut)


def test_p23_a_match_that_more_text_undoes_is_not_taken() -> None:
    sought = Sought(re.compile("ready$"), UTF_8)
    assert not sought.is_in(b"not rea")
    assert not sought.is_in(b"dy")
    assert sought.may_grow
    assert not sought.is_in(b" yet\n")
    assert not sought.may_grow
    assert sought.is_in(b"ready\n")


def test_p23_a_text_is_found_in_a_line_of_any_length() -> None:
    """An endless progress bar, for example."""
    sought = Sought("ready", UTF_8)
    for _ in range(5):
        assert not sought.is_in(b"." * 60000)
    assert not sought.is_in(b"rea")
    assert sought.is_in(b"dy")


async def test_p23_a_server_that_ends_once_it_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exited = os.WEXITED | os.WNOWAIT
    after_each_chunk(monkeypatch, lambda: os.waitid(os.P_ALL, 0, exited))
    with pytest.raises(
        within.ServerFailed, match="with status 3 as soon as it was ready"
    ):
        await shell("echo ready; exit 3", ready="ready")


def _refuse(error: UnicodeError) -> tuple[str, int]:
    raise RuntimeError("this handler raises")


@pytest.mark.parametrize("errors", ["strict", "surrogatepass", "within-test-refuse"])
async def test_p23_a_log_bears_bytes_that_are_no_text(errors: str) -> None:
    codecs.register_error("within-test-refuse", _refuse)
    script = f"printf 'a\\377b ready\\n'; exec sleep {FOREVER}"
    async with shell(script, ready="ready", errors=errors) as server:
        assert server.log == "a\ufffdb ready\n"


async def test_p23_a_log_that_another_thread_reads_while_it_ends() -> None:
    looks = threading.Event()
    is_over = threading.Event()
    failed: list[Exception] = []

    async with shell("while :; do echo a line; done") as server:

        def look() -> None:
            while not is_over.is_set():
                try:
                    assert "line" in server.log or not looks.is_set()
                except Exception as error:  # the test looks at it
                    failed.append(error)
                    return
                if "line" in server.log:
                    looks.set()

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        looks.wait()
    is_over.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_p23_each_character_of_a_long_line_is_searched_for_its_end_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a progress bar of dots costs its length squared."""
    searched: list[int] = []
    split = vars(_decoded)["_split_lines"]

    def noting(text: str) -> tuple[list[str], str]:
        searched.append(len(text))
        found: tuple[list[str], str] = split(text)
        return found

    monkeypatch.setattr(_decoded, "_split_lines", noting)
    sought = Sought("ready", UTF_8)
    for _ in range(100):
        assert not sought.is_in(b"." * 10)
    assert sum(searched) == 1000
    assert sought.is_in(b" ready\n")
