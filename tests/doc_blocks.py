"""Runs the code blocks of a page of the documentation.

Sybil finds and evaluates the blocks; this file says what each kind of block means. The
blocks of a page run in order, as one program, in a directory of their own:

- A ``python`` block prints exactly the ``text`` block that follows directly. In that
  block ``...`` stands for any text, and the time in ``(ended 0.0012 s late)`` for any
  time but 0. Without such a block it prints nothing.
- A ``python`` block that begins with the name of a file, ``# greeter.py``, is written
  to that file. The blocks after it can import it or run it.
- Files called ``test_*.py`` are run by pytest at the end of the page, and must pass.
  pytest-asyncio is only loaded if one of them has its mark.
- A ``console`` block that begins with ``$ within`` is run by sh: the lines after ``$``
  are the commands, the other lines are the output.

Other languages, and directives such as ``{code-block} python``, are not run.
"""

from __future__ import annotations

import doctest
import importlib
import io
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from forked_pytest import run_pytest
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator, pad
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
LATE = re.compile(r"\(ended (?!0 s)\S+ s late\)")
FILE = re.compile(r"# (\w+\.py)\n")

evaluate_python = PythonEvaluator()
find_fences = RawFencedCodeBlockLexer(re.compile(r" *(?P<language>[^\n]*?) *\n"))


def run_page(page: Path, directory: Path) -> None:
    """Run the blocks of ``page`` in ``directory``, which is empty."""
    document = Document.parse(str(page), parse_blocks)
    program = ModuleType("__main__")
    document.namespace = vars(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(sys, "path", [str(directory), *sys.path])
        patch.setitem(sys.modules, "__main__", program)
        try:
            for example in document.examples():
                if example.region.evaluator is write_file:
                    # Another module of this name may have been imported before.
                    patch.delitem(sys.modules, _file(example).stem, raising=False)
                example.evaluate()
        finally:
            _forget(directory)
    if any(directory.glob("test_*.py")):
        _run_suite(directory)


def parse_blocks(document: Document) -> Iterator[Region]:
    """Sybil's parser for our pages: the blocks that are run, each with its evaluator."""
    fences = sorted(find_fences(document), key=lambda region: region.start)
    end = Region(document.end, document.end, lexemes={"language": ""})
    for fence, following in pairwise([*fences, end]):
        language, code = fence.lexemes["language"], str(fence.lexemes["source"])
        if language.lower() in ("py", "python3", "pycon"):
            place = document.line_column(fence.start)
            raise ValueError(f"{document.path}, {place}: call the language `python`")
        if language == "python":
            fence.evaluator = write_file if FILE.match(code) else check_python
        elif language == "console" and code.startswith("$ within "):
            fence.evaluator = check_console
        else:
            continue
        fence.parsed = fence.lexemes["source"]
        between = document.text[fence.end : following.start]
        has_output = following.lexemes["language"] == "text" and not between.strip()
        fence.lexemes = {"output": following.lexemes["source"] if has_output else ""}
        yield fence


# -- the three kinds of block ------------------------------------------------------


def check_python(example: Example) -> str | None:
    with redirect_stdout(io.StringIO()) as printed:
        evaluate_python(example)
    return _difference(example.region.lexemes["output"], printed.getvalue())


def write_file(example: Example) -> None:
    path = _file(example)
    if path.exists():
        raise ValueError(f"line {example.line}: {path.name} has been written before")
    path.write_text(pad(example.parsed, example.line))
    importlib.invalidate_caches()


def check_console(example: Example) -> str | None:
    script = Path("session.sh")
    commands = re.findall(r"^\$ (.*)$", example.parsed, re.MULTILINE)
    script.write_text("".join(f"{command}\n" for command in commands))
    scripts = os.path.dirname(sys.executable)
    done = _run(["sh", "-v", script], PATH=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    # sh -v prints each command before it runs it, but without a prompt.
    expected = re.sub(r"^\$ ", "", example.parsed, flags=re.MULTILINE)
    return _difference(expected, done.stdout)


def _file(example: Example) -> Path:
    found = FILE.match(example.parsed)
    assert found
    return Path(found[1])


def _difference(expected: str, printed: str) -> str | None:
    printed = textwrap.dedent(printed)  # as Sybil does with the block
    checker = doctest.OutputChecker()
    same = (LATE.sub("(ended a little late)", text) for text in (expected, printed))
    if checker.check_output(*same, FLAGS):
        return None
    return checker.output_difference(doctest.Example("", expected), printed, FLAGS)


def _forget(directory: Path) -> None:
    """Drop the modules that were imported from ``directory``."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and directory in Path(file).parents:
            del sys.modules[name]


def _run_suite(directory: Path) -> None:
    options = ["-W", "error", "-pno:cacheprovider", "-pno:trio", "--timeout=120"]
    suite = "".join(path.read_text("utf-8") for path in directory.glob("test_*.py"))
    if "pytest.mark.asyncio" in suite:
        options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    else:
        options += ["-pno:asyncio"]
    status, printed = run_pytest(directory, *options)
    assert status == 0, printed


def _run(command: list[Any], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
