"""The code blocks of a page of the documentation, and how they are run.

A page is MyST Markdown, and its blocks run in order, in a directory of their own:

- ``python`` blocks are one program. What one prints is what the ``text`` block says
  that follows it directly, where ``...`` stands for anything; without one it
  prints nothing.
- A ``python`` block whose first line is a comment with the name of a file,
  ``# greeter.py``, is that file: the blocks after it may import it, and start it.
- Those called ``test_*.py`` are run by pytest, at the end of the page, and pass.
- A ``console`` block that begins with ``$ within`` is run by sh: the lines after
  ``$`` are its commands, the others what it prints.

The rest is shown and not run: other languages, and what is written as a directive
(``{code-block} python``) or stands inside one.
"""

from __future__ import annotations

import doctest
import importlib
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from pytest_runs import run_pytest

FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
MARKDOWN = MarkdownIt("commonmark").use(colon_fence_plugin)
FILE = re.compile(r"# (\w+\.py)\n")
PYTHON = re.compile(r"^ *[`~]{3,} *py", re.MULTILINE | re.IGNORECASE)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    code: str
    line: int  # of the page, where the code begins
    output: str  # the text block that follows directly


def blocks(text: str) -> list[Block]:
    tokens = MARKDOWN.parse(text)
    return [
        Block(
            language=_language(token),
            code=token.content,
            line=token.map[0] + 2,
            output=after.content if _language(after) == "text" else "",
        )
        for token, after in pairwise([*tokens, Token("end", "", 0)])
        if token.type == "fence" and token.map
    ]


def _language(token: Token) -> str:
    return token.info.strip() if token.type == "fence" else ""


def hidden(text: str) -> int:
    """How many Python blocks are not run: in a directive, or of another name."""
    found = [block for block in blocks(text) if block.language == "python"]
    return len(PYTHON.findall(text)) - len(found)


def run_page(page: Path, directory: Path) -> None:
    """Run the blocks of ``page`` in ``directory``, which is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(sys, "path", [str(directory), *sys.path])
        program = ModuleType("__main__")
        patch.setitem(sys.modules, "__main__", program)
        try:
            for block in blocks(page.read_text()):
                if block.language == "python" and (found := FILE.match(block.code)):
                    _write(directory / found[1], block, patch)
                elif block.language == "python":
                    _compare(page, block, _python(page, block, program))
                elif block.code.startswith("$ within "):
                    _compare(page, _session(block), _console(block))
        finally:
            _forget(directory)
    if any(directory.glob("test_*.py")):
        assert run_pytest(directory, {}).passed


def _write(path: Path, block: Block, patch: pytest.MonkeyPatch) -> None:
    if path.exists():
        raise ValueError(f"line {block.line}: {path.name} has been written before")
    path.write_text(_padded(block))
    patch.delitem(sys.modules, path.stem, raising=False)  # another one's, of that name
    importlib.invalidate_caches()


def _forget(directory: Path) -> None:
    """Nobody else is to import what was imported from there."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and directory in Path(file).parents:
            del sys.modules[name]


def _python(page: Path, block: Block, program: ModuleType) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        code = compile(_padded(block), page, "exec", dont_inherit=True)
        exec(code, vars(program))
    return printed.getvalue()


def _session(block: Block) -> Block:
    """The commands as ``sh -v`` prints them, and what they print."""
    return block._replace(output=re.sub(r"^\$ ", "", block.code, flags=re.MULTILINE))


def _console(block: Block) -> str:
    script = Path("session.sh")
    script.write_text("".join(f"{line}\n" for line in _commands(block)))
    scripts = os.path.dirname(sys.executable)
    return subprocess.run(
        ["sh", "-v", script],
        check=False,
        env={**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


def _commands(block: Block) -> list[str]:
    return re.findall(r"^\$ (.*)$", block.code, re.MULTILINE)


def _compare(page: Path, block: Block, printed: str) -> None:
    checker = doctest.OutputChecker()
    if not checker.check_output(block.output, printed, FLAGS):
        example = doctest.Example(block.code, block.output)
        difference = checker.output_difference(example, printed, FLAGS)
        raise AssertionError(f"{page}, line {block.line}:\n{difference}")


def _padded(block: Block) -> str:
    """The code, its lines at the numbers that they have on the page."""
    return "\n" * (block.line - 1) + block.code
