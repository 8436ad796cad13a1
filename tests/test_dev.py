"""The scripts, and how `./dev` creates its environment with the newest Python that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DEV = Path(__file__).parent.parent / "dev"
if not DEV.exists() or os.name != "posix":
    pytest.skip("it is a shell script of the source tree", allow_module_level=True)

# Stands for a Python, and for the one in the environment that it creates.
PYTHON = """\
#!/bin/sh
case "$*" in
    "-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip"*) cp "$0" .venv/bin/nox ;;
    "-m nox"*) test -e .venv/bin/nox ;;
    "--session"*) echo "nox got: $*" ;;
esac
"""
SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"


def run(tmp_path: Path, pythons: dict[str, str], *arguments: str) -> str:
    root, programs = tmp_path / "root", tmp_path / "programs"
    for directory in (root, programs):
        directory.mkdir(exist_ok=True)
    shutil.copy(DEV, root)
    for version in ("", "3", "3.11", "3.12", "3.13", "3.14", "3.15"):
        name = f"python{version}"
        program = programs / name
        program.write_text(pythons.get(name, SHIM))
        program.chmod(0o755)
    return subprocess.run(
        [root / "dev", *arguments],
        check=False,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


def test_a_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    pythons = {"python3.11": PYTHON, "python3.12": PYTHON}
    said = run(tmp_path, pythons, "test", "-k", "shield")
    assert f"dev: creating .venv with {tmp_path}/programs/python3.12\n" in said
    assert said.endswith("nox got: --session test -- -k shield\n")


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_each_script_has_no_syntax_error(script: str) -> None:
    path = DEV.parent / script
    if not path.exists():
        pytest.skip("the sdist does not have it")
    subprocess.run(["bash", "-n", path], check=True)


def test_the_environment_is_created_once(tmp_path: Path) -> None:
    run(tmp_path, {"python3.12": PYTHON}, "lint")
    said = run(tmp_path, {"python3.12": PYTHON, "python3.13": PYTHON}, "lint")
    assert said == "nox got: --session lint --\n"


def test_an_environment_that_no_longer_runs_is_created_again(tmp_path: Path) -> None:
    run(tmp_path, {"python3.12": PYTHON}, "lint")
    (tmp_path / "root/.venv/bin/python").write_text(SHIM)
    said = run(tmp_path, {"python3.13": PYTHON}, "lint")
    assert f"dev: creating .venv with {tmp_path}/programs/python3.13\n" in said


def test_without_a_python_that_runs_it_says_so(tmp_path: Path) -> None:
    said = run(tmp_path, {}, "lint")
    assert said.startswith("dev: found no Python 3.11 or newer")
