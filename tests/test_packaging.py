"""The dependencies that are declared are those that are imported; there is one version.

`./dev lint` checks which module may import what, and `./dev package` builds the
package and installs it.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp

import within

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names_of(*lists: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", each)[0] for found in lists for each in found}


def test_the_dependencies_are_what_is_imported() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    graph = grimp.build_graph(
        "within",
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    outside = {name for name in graph.modules if graph.is_module_squashed(name)}
    # anyio imports uvloop on our behalf.
    found = outside - sys.stdlib_module_names | {"uvloop"}
    assert found == names_of(project["dependencies"], *extras) - {"within"}


# -- one version -----------------------------------------------------------------


def test_the_version_is_written_in_one_place() -> None:
    version = PROJECT["project"]["version"]
    assert importlib.metadata.version("within") == version
    assert within.__version__ == version
    told = subprocess.run(
        [sys.executable, "-m", "within", "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told == f"within {version}\n"
    literal = re.compile(rf"(?<![\w.]){re.escape(version)}(?![\w.])")
    for place in ("src", "docs", "man"):
        for path in (ROOT / place).rglob("*"):
            if path.suffix in (".py", ".md", ".1"):
                assert not literal.search(path.read_text()), path
