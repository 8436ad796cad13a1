"""What is wrong on a page of the documentation does not go unnoticed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from doc_blocks import blocks, hidden, run_page

Run = Callable[[str], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a page with this text."""

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


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n```text\nTrue\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\nprint(1)\n```\n\nA word.\n\n```text\n1\n```\n",
        "```python\npass\n```\n```text\n1\n```\n",
    ],
    ids=["other", "truth", "no output", "not directly", "nothing printed"],
)
def test_another_output_is_noticed(run: Run, text: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 2:"):
        run(text)


def test_an_exception_is_raised_with_the_line_of_the_page(run: Run) -> None:
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


def test_a_suite_is_run_beside_the_files_of_its_page(run: Run) -> None:
    run(SUITE.format("hello"))


def test_a_suite_that_fails_is_noticed(run: Run) -> None:
    with pytest.raises(AssertionError, match=r"test_greeter\.py:11: AssertionError"):
        run(SUITE.format("good-bye"))


def test_a_suite_without_tests_is_noticed(run: Run) -> None:
    with pytest.raises(AssertionError, match="no tests ran"):
        run("```python\n# test_it.py\nimport anyio\n```\n")


def test_a_file_is_imported_by_what_follows_and_forgotten_afterwards(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody_elses = sys
    monkeypatch.setitem(sys.modules, "greeter", somebody_elses)
    before = sys.modules["__main__"], list(sys.path)
    run(
        SUITE.format("hello")
        + "```python\nfrom greeter import greet\nprint(greet('you'))\n```\n"
        + "```text\nhello, you\n```\n"
    )
    assert sys.modules["greeter"] is somebody_elses
    assert (sys.modules["__main__"], sys.path) == before


def test_a_file_is_written_once(run: Run) -> None:
    with pytest.raises(ValueError, match=r"line 10: test_greeter\.py has been"):
        run("# A page\n" + SUITE.format("hello").partition("\n```\n")[2] * 2)


def test_a_session_of_the_command_line(run: Run) -> None:
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


def test_another_end_of_a_session_is_noticed(run: Run) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 2:"):
        run("```console\n$ within 60 -- true\n$ echo $?\n1\n```\n")


def test_what_is_only_shown_is_not_run(run: Run) -> None:
    run(
        """\
        ```{code-block} python
        1 / 0
        ```

        ```console
        $ no such command
        ```

        ::::{grid}
        :::{grid-item}
        ```python
        1 / 0
        ```
        :::
        ::::
        """
    )


def test_what_would_not_be_run_is_counted() -> None:
    shown, inside = "```python\nx\n```\n", ":::{note}\n```python\nx\n```\n:::\n"
    assert hidden(shown) == 0
    assert hidden(shown + inside) == 1
    assert hidden("````{note}\n" + shown + "````\n") == 1
    assert hidden("```py\nx\n```\n\n~~~ python3\nx\n~~~\n") == 2
    assert hidden("```{code-block} python\nx\n```\n") == 0


def test_a_block_knows_its_place() -> None:
    (block,) = blocks("# A\n\n```python\nx = 1\n```\n```text\nno\n```\n")[:1]
    assert block == ("python", "x = 1\n", 4, "no\n")
