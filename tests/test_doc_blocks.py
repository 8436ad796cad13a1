"""A mistake on a page of the documentation makes its test fail."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from doc_blocks import run_page
from sybil.example import SybilFailure

Run = Callable[[str], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a page with the given text."""

    def run(text: str) -> None:
        page = tmp_path / "page.md"
        page.write_text(dedent(text))
        directory = tmp_path / "directory"
        directory.mkdir()
        run_page(page, directory)

    return run


def test_the_blocks_of_a_page_are_one_program(run: Run) -> None:
    run(
        """\
        # A page

        ```python
        from dataclasses import dataclass

        @dataclass
        class Point:
            x: "int"
        ```

        - in a list:

          ```python
          print(Point(1))
          print("and more")
          ```
          ```text
          Point(x=1)
          and ...
          ```
        """
    )


def test_a_page_shows_a_number_where_any_lateness_will_do(run: Run) -> None:
    printed = "'sh' exceeded its limit of 0.5 s (ended {} s late)"
    page = '```python\nprint("' + printed + '")\n```\n```text\n' + printed + "\n```\n"
    run(page.format("9.12e-05", "0.0012"))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint('(ended 0.1 s late)')\n```\n```text\n(ended 0 s late)\n```\n",
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n```text\nTrue\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\nprint(1)\n```\n\nA word.\n\n```text\n1\n```\n",
        "```python\npass\n```\n```text\n1\n```\n",
    ],
    ids=[
        "late",
        "other",
        "1 is not True",
        "no output",
        "not directly",
        "nothing printed",
    ],
)
def test_output_that_differs_fails(run: Run, text: str) -> None:
    with pytest.raises(SybilFailure, match=r"page\.md, line 1, "):
        run(text)


def test_a_traceback_shows_the_line_of_the_page(run: Run) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("One\n\n```python\nx = 0\n```\n\nTwo\n\n```python\nx\n1 / x\n```\n")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert Path(last.filename).name == "page.md"
    assert (last.lineno, last.line) == (11, "1 / x")


SUITE = """\
```python
# greeter.py
def greet(name):
    return f"hello, {{name}}"
```
```python
# test_greeter.py
from greeter import greet

def test_greet():
    assert greet("you") == "{}, you"
```
"""


def test_a_suite_can_import_the_files_of_its_page(run: Run) -> None:
    run(SUITE.format("hello"))


def test_a_suite_that_fails_makes_the_page_fail(run: Run) -> None:
    with pytest.raises(AssertionError, match=r"test_greeter\.py:11: AssertionError"):
        run(SUITE.format("goodbye"))


def test_a_suite_without_tests_makes_the_page_fail(run: Run) -> None:
    with pytest.raises(AssertionError, match="no tests ran"):
        run("```python\n# test_it.py\nimport anyio\n```\n")


def test_the_blocks_after_a_file_can_import_it_and_later_pages_cannot(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_greeter = sys
    monkeypatch.setitem(sys.modules, "greeter", another_greeter)
    before = sys.modules["__main__"], list(sys.path)
    run(
        SUITE.format("hello")
        + "```python\nfrom greeter import greet\nprint(greet('you'))\n```\n"
        + "```text\nhello, you\n```\n"
    )
    assert sys.modules["greeter"] is another_greeter
    assert (sys.modules["__main__"], sys.path) == before


def test_a_page_writes_a_file_only_once(run: Run) -> None:
    with pytest.raises(ValueError, match=r"line 9: test_greeter\.py has been"):
        run("# A page\n" + SUITE.format("hello").partition("\n```\n")[2] * 2)


def test_a_console_block_that_prints_what_it_says(run: Run) -> None:
    run(
        """\
        ```console
        $ within 60 -- sh -c 'echo one; echo two >&2; exit 3'
        one
        two
        $ echo $?
        3
        ```
        """
    )


def test_a_console_block_that_prints_something_else_fails(run: Run) -> None:
    with pytest.raises(SybilFailure, match=r"page\.md, line 1, "):
        run("```console\n$ within 60 -- true\n$ echo $?\n1\n```\n")


def test_directives_and_other_consoles_are_not_run(run: Run) -> None:
    run(
        """\
        ```{code-block} python
        1 / 0
        ```

        ```console
        $ no such command
        ```
        """
    )


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}\n```python\n1 / 0\n```\n:::\n",
        "::::{grid}\n:::{grid-item}\n```python\n1 / 0\n```\n:::\n::::\n",
        "````{note}\n```python\n1 / 0\n```\n````\n",
        "~~~ python\n1 / 0\n~~~\n",
    ],
    ids=["in a colon fence", "in a grid", "in a longer fence", "between tildes"],
)
def test_a_block_is_run_wherever_it_is(run: Run, text: str) -> None:
    with pytest.raises(ZeroDivisionError):
        run(text)


@pytest.mark.parametrize("name", ["py", "python3", "Python3"])
def test_a_python_block_by_another_name_is_an_error(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match="line 3, column 1: call the language"):
        run(f"# A page\n\n```{name}\nx\n```\n")
