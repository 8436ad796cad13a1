"""Finds and runs the pairs of snippets in docs/migration/.

Every pair has the same form: a heading, two programs, and the output of both. The site
shows the programs side by side. Anything that looks different is an error::

    ## One limit

    **Before**, on asyncio and uvloop

    ```python
    ...
    ```

    **After**, on asyncio, uvloop and trio

    ```python
    ...
    ```

    Both print:

    ```text
    ...
    ```

Each snippet is a program that defines ``main``. The line above it names the loops that
it runs on, or says that it runs without a loop.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import within.testing

MIGRATION = Path(__file__).parent.parent / "docs" / "migration"

LOOPS = ("asyncio", "uvloop", "trio")

# Characters in a line that half a page, or a phone, shows without scrolling.
WIDTH = 46

_SIDE = r"""\*\*{side}\*\*, (?P<{name}_where>[^\n]+)

```python
(?P<{name}>.*?
)```

"""
_PAIR = re.compile(
    r"""## (?P<heading>[^\n]+)

"""
    + _SIDE.format(side="Before", name="before")
    + _SIDE.format(side="After", name="after")
    + r"""Both print:

```text
(?P<prints>.*?
)```
""",
    re.DOTALL,
)


class Malformed(Exception):
    """A page has something that looks like a pair but is not one."""


@dataclass(frozen=True)
class Snippet:
    """One side of a pair, on one of the loops that it names."""

    page: str
    heading: str
    side: str
    loop: str | None
    line: int  # where it begins on the page
    source: str
    prints: str

    def __str__(self) -> str:
        where = self.loop or "without a loop"
        return f"{self.page}: {self.heading}, {self.side.lower()}, {where}"

    def run(self, *, virtual_time: bool) -> str:
        """Run it, and return what it prints."""
        # A traceback then shows the page and the line of the page.
        padded = "\n" * (self.line - 1) + self.source
        namespace: dict[str, Any] = {"__name__": "migration"}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            page = f"docs/migration/{self.page}"
            exec(compile(padded, page, "exec", dont_inherit=True), namespace)
            main = namespace["main"]
            if self.loop is None:
                main()
            else:
                virtual_time = virtual_time and self.loop != "uvloop"
                within.testing.run(main, backend=self.loop, virtual_time=virtual_time)
        return printed.getvalue()


def snippets(page: str, text: str) -> list[Snippet]:
    """Both sides of each pair of a page, once for each loop that they name."""
    # The rest of the page must not contain parts of a pair.
    rest = _PAIR.sub(lambda pair: "\n" * pair[0].count("\n"), text)
    for number, line in enumerate(rest.splitlines(), start=1):
        if any(
            sign in line for sign in (":::", "**After**", "```python", "Both print")
        ):
            raise Malformed(f"{page}, line {number}: {line!r} is not part of a pair")
    return [
        Snippet(
            page,
            pair["heading"],
            side,
            loop,
            text.count("\n", 0, pair.start(name)) + 1,
            _checked(pair[name], f"{page}: {pair['heading']}, {side.lower()}"),
            _checked(pair["prints"], f"{page}: {pair['heading']}, what both print"),
        )
        for pair in _PAIR.finditer(text)
        for side, name in (("Before", "before"), ("After", "after"))
        for loop in _loops(pair[f"{name}_where"], f"{page}: {pair['heading']}")
    ]


def _checked(source: str, where: str) -> str:
    for line in source.splitlines():
        if len(line) > WIDTH or "```" in line or ":::" in line:
            raise Malformed(f"{where}: {line!r} does not fit into a column")
    return source


def _loops(words: str, where: str) -> tuple[str | None, ...]:
    if words == "without a loop":
        return (None,)
    named = re.split(", | and ", words.removeprefix("on "))
    wanted = [loop for loop in LOOPS if loop in named]
    if not words.startswith("on ") or named != wanted:
        raise Malformed(f"{where}: {words!r} does not name the loops")
    return tuple(named)
