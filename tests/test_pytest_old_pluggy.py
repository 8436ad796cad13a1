"""The plugin where pluggy is too old for it: it is in nobody's way, and says why (V5, V6)."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from within.testing import _pytest

# Starts pytest with another version of pluggy than it has.
OLD = """
import importlib.metadata, sys, pytest
restore = importlib.metadata.version
importlib.metadata.version = {"pluggy": "1.1.0"}.__getitem__
import within.testing._pytest_entry as plugin
importlib.metadata.version = restore
if "within.testing._pytest" in sys.modules:
    sys.exit("the plugin was imported")
options = ["-q", "-p", "no:within", "-p", "no:cacheprovider", "-p", "no:randomly"]
sys.exit(pytest.main([*options, *sys.argv[1:]], plugins=[plugin]))
"""


def run(path: Path, source: str) -> subprocess.CompletedProcess[str]:
    file = path / "test_it.py"
    file.write_text(f"import pytest\n{source}\n")
    return subprocess.run(
        [sys.executable, "-c", OLD, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=path,
    )


def test_v5_tests_without_the_marker_run_with_an_old_pluggy(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_it(): pass")
    assert "1 passed" in done.stdout, done.stderr


@pytest.mark.parametrize("more", ["", "@pytest.mark.anyio\n"])
def test_v6_the_marker_is_refused_with_an_old_pluggy(tmp_path: Path, more: str) -> None:
    test = f"@pytest.mark.virtual_time\n{more}async def test_it(): pass"
    done = run(tmp_path, test)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_it.py::test_it" in done.stderr
    assert "needs pluggy 1.2 or newer, and this is pluggy 1.1.0" in done.stderr


def test_v5_the_plugin_loads_with_pytest_7() -> None:
    # The arguments that this hook had before pytest 8. With any other, pytest ends at once.
    found = inspect.signature(_pytest.pytest_plugin_registered).parameters
    assert {*found} <= {"plugin", "manager"}
