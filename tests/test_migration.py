"""Both snippets of each pair in docs/migration/ print what the page says."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from typing import Any, NamedTuple

import anyio
import pytest
import trio
from migration_pairs import MIGRATION, Malformed, Snippet, snippets

import within
from within.testing import run


class Page(NamedTuple):
    least: int  # the number of pairs
    needs: tuple[str, ...] = ()  # modules that may be missing
    children: bool = False  # the snippets start children: real time, and POSIX only


PAGES = {
    "asyncio-timeout.md": Page(7),
    "async-timeout.md": Page(4, needs=("async_timeout",)),
    "anyio.md": Page(6),
    "trio.md": Page(7),
    "quattro.md": Page(5, needs=("quattro",)),
    "asyncio-subprocess.md": Page(8, children=True),
    "anyio-processes.md": Page(6, children=True),
    "trio-processes.md": Page(6, children=True),
    "subprocess.md": Page(8, children=True),
    "pexpect.md": Page(5, needs=("pexpect",), children=True),
    "sh.md": Page(7, needs=("sh", "plumbum"), children=True),
    "mirakuru.md": Page(3, needs=("mirakuru",), children=True),
    "stdio-client.md": Page(4, children=True),
}

SNIPPETS = [
    snippet
    for page in PAGES
    for snippet in snippets(page, (MIGRATION / page).read_text("utf-8"))
]


def skip_unless_it_can_run(snippet: Snippet) -> None:
    page = PAGES[snippet.page]
    if page.children and not hasattr(os, "waitid"):
        pytest.skip(f"child processes need os.waitid(), not on {sys.platform}")
    modules = (snippet.loop, *(page.needs if snippet.side == "Before" else ()))
    for module in modules:
        if module is None or module in sys.modules:  # where sh has no __spec__
            continue
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


# A limit that passes while uvloop starts a child leaves its transport open, and uvloop
# complains. That is how our peers are, and it takes a busy machine.
PEERS_MAY_LEAVE = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize(
    "snippet",
    [
        pytest.param(x, marks=[PEERS_MAY_LEAVE] if x.side == "Before" else [])
        for x in SNIPPETS
    ],
    ids=str,
)
def test_a_snippet_prints_what_the_page_says(snippet: Snippet) -> None:
    skip_unless_it_can_run(snippet)
    virtual_time = not PAGES[snippet.page].children
    assert snippet.run(virtual_time=virtual_time) == snippet.prints


def test_each_page_has_its_pairs_and_a_line_in_the_index() -> None:
    index = (MIGRATION / "index.md").read_text("utf-8")
    found = {path.name for path in MIGRATION.glob("*.md")} - {"index.md"}
    assert found == set(PAGES)
    for name, page in PAGES.items():
        pairs = {snippet.heading for snippet in SNIPPETS if snippet.page == name}
        assert len(pairs) >= page.least, name
        assert f"({name})" in index, name


# -- what the pages say about our peers ------------------------------------------


@pytest.mark.parametrize(
    ("limit", "backend", "error"),
    [
        (anyio.fail_after, "asyncio", None),
        (anyio.fail_after, "trio", None),
        (trio.fail_after, "trio", trio.TooSlowError),
        (within.timeout, "asyncio", TimeoutError),
        (within.timeout, "trio", TimeoutError),
    ],
)
def test_only_anyio_leaves_a_cancelled_limit_quietly(
    limit: Any, backend: str, error: type[Exception] | None
) -> None:
    async def main() -> None:
        with limit(5) as block:
            block.cancel()
            await anyio.sleep(60)

    if error is None:
        run(main, backend=backend, virtual_time=True)
    else:
        with pytest.raises(error):
            run(main, backend=backend, virtual_time=True)


@pytest.mark.parametrize(
    ("give_up", "backend"),
    [(anyio.move_on_after, "asyncio"), (trio.move_on_after, "trio")],
)
def test_only_we_refuse_a_new_deadline_after_the_block(
    give_up: Any, backend: str
) -> None:
    async def main(give_up: Any) -> None:
        with give_up(1) as block:
            await anyio.sleep(60)
        block.deadline = 100.0

    run(main, give_up, backend=backend, virtual_time=True)
    with pytest.raises(RuntimeError, match="has been left"):
        run(main, within.move_on_after, backend=backend, virtual_time=True)


def test_a_deadline_of_asyncio_breaks_our_shield() -> None:
    async def main() -> float:
        try:
            async with asyncio.timeout(1):
                with within.shield(30):
                    await anyio.sleep(60)
        except TimeoutError:
            return within.current_time()
        return 60.0

    assert run(main, virtual_time=True) == 1.0


def test_anyio_does_not_see_our_deadlines_on_asyncio_but_we_see_both() -> None:
    async def main() -> tuple[float, float, float]:
        with within.timeout(5):
            theirs, ours = (
                anyio.current_effective_deadline(),
                within.current_effective_deadline(),
            )
        with anyio.fail_after(6):
            return theirs, ours, within.current_effective_deadline()

    assert run(main, virtual_time=True) == (float("inf"), 5.0, 6.0)


# -- pairs that are malformed or wrong --------------------------------------------

GOOD = """\
## One

**Before**, without a loop

```python
def main():
    print(1)
```

**After**, on asyncio and trio

```python
async def main():
    print(1)
```

Both print:

```text
1
```
"""


def test_a_pair_runs_on_the_loops_that_it_names() -> None:
    found = snippets("page.md", GOOD)
    assert [snippet.loop for snippet in found] == [None, "asyncio", "trio"]
    assert [snippet.run(virtual_time=True) for snippet in found] == ["1\n"] * 3
    assert [snippet.line for snippet in found] == [6, 13, 13]


@pytest.mark.parametrize("side", ["Before", "After"])
def test_a_snippet_that_prints_something_else_fails(side: str) -> None:
    before, after = GOOD.split("**After**")
    if side == "Before":
        before = before.replace("print(1)", "print(2)")
    else:
        after = after.replace("print(1)", "print(2)")
    for snippet in snippets("page.md", f"{before}**After**{after}"):
        right = snippet.run(virtual_time=True) == snippet.prints
        assert right is (snippet.side != side)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("**Before**", "Before"),
        ("**After**, on asyncio and trio", "**After**, on curio"),
        ("**After**, on asyncio and trio", "**After**, on trio and asyncio"),
        ("**After**, on asyncio and trio", "**After**, asyncio"),
        ("```\n\n**After", "```\n\nText.\n\n**After"),
        ("loop\n\n```", "loop\n```"),
        ("```\n\nBoth", "```\n\nText.\n\nBoth"),
        ("Both print:", "They print:"),
        ("```text\n1\n```\n", ""),
        ("```text\n1\n", "```text\n"),
        ("trio\n\n```python", "trio\n\n```text"),
        ("    print(1)", "    print(" + "1" * 40 + ")"),
        ("## One", "## One\n\n```python\nprint(1)\n```"),
    ],
)
def test_text_that_looks_like_a_pair_is_an_error(part: str, instead: str) -> None:
    assert part in GOOD
    with pytest.raises(Malformed):
        snippets("page.md", GOOD.replace(part, instead) + "\n" + GOOD)
