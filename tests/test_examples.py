"""The programs in examples/ run and print what they should."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import within.testing
from within.testing import backends

EXAMPLES = Path(__file__).parent.parent / "examples"

LESSON = """\
done
after
timeout
line: one
line: two
process ended: True
{'running': True}
{'running': False}
"""


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_the_lesson(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    lesson = runpy.run_path(str(EXAMPLES / "lesson.py"))
    if backend == "uvloop":
        within.testing.run(lesson["main"], backend=backend)
    else:
        within.testing.run(lesson["main"], backend=backend, virtual_time=True)
    assert capsys.readouterr().out == LESSON


@pytest.mark.parametrize("name", ["retry", "rate_limiter", "heartbeat"])
def test_an_example_prints_the_same_on_each_loop(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    printed: list[str] = []
    for backend in ("asyncio", "trio"):
        within.testing.run(example["main"], backend=backend, virtual_time=True)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "exceeded its" in printed[0]


CLIENT = """\
1 + 2 = 3
released: second
released: first
cancelled: 1
stopped by the end of its stdin, status 0
the server is gone (status 3); its stderr ends with: out of paper
"""


DIALOGUE = """\
x * 7 = 42
error: ZeroDivisionError: division by zero
interrupted: while True: pass
x is still 6
exited with 3: good night
"""

STAGES = """\
apple
fig
pear
Y
`sh -c cat; echo out of ink >&2; exit 3` has failed with status 3: out of ink
"""

PRINTED = {"json_rpc_demo": CLIENT, "repl": DIALOGUE, "pipeline": STAGES}


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("name", ["json_rpc_demo", "shell_harness", "repl", "pipeline"])
def test_an_example_that_starts_children(
    name: str,
    backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("FORCE_COLOR", "PYTHON_COLORS"):  # a Python below us would obey
        monkeypatch.delenv(variable, raising=False)
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    within.testing.run(example["main"], backend=backend)
    printed = capsys.readouterr().out
    if name in PRINTED:
        assert printed == PRINTED[name]
    else:
        lines = printed.splitlines()
        assert len(lines) == len(example["NASTY"]) + 1
        assert lines[-1] == "left behind: []"


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_prompts_are_answered(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "password_prompt.py"))
    within.testing.run(example["main"], backend=backend)
    assert capsys.readouterr().out == (
        "User: ali\nPassword: \nWelcome, ali\nrefused: Permission denied\n"
    )


def test_the_demonstration_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "nothing_left.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line.endswith("left behind: []") for line in lines[1:4]] == [True] * 3
    assert not lines[4].endswith("[]")


def test_v1_backends_returns_parameters_for_anyio() -> None:
    def names(params: list[tuple[str, dict[str, Any]]]) -> list[str]:
        return [name + "+uvloop" * ("use_uvloop" in more) for name, more in params]

    assert names(backends()) == ["asyncio", "asyncio+uvloop", "trio"]
    assert names(backends(uvloop=False)) == ["asyncio", "trio"]
    assert names(backends(virtual_time=True)) == ["asyncio", "trio"]
    with pytest.raises(ValueError, match="uvloop"):
        backends(virtual_time=True, uvloop=True)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_v3_run_passes_on_arguments_results_and_errors(backend: str) -> None:
    async def divide(a: int, b: int) -> float:
        return a / b

    assert within.testing.run(divide, 1, 2, backend=backend) == 0.5
    with pytest.raises(ZeroDivisionError):
        within.testing.run(divide, 1, 0, backend=backend)
    with pytest.raises(ValueError, match="backend is 'curio'"):
        within.testing.run(divide, 1, 2, backend="curio")
