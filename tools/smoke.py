"""Checks an environment that has only the wheel installed.

`package.py` runs this with the Python of that environment. It prints a line, or fails.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import within

# This comes first: a later import might load one of them.
for name in ("anyio", "asyncio", "trio", "uvloop"):
    assert name not in sys.modules, f"import within loads {name}"

OPTIONAL = ["hypothesis", "pytest", "trio", "uvloop"]
there = {name: importlib.util.find_spec(name) is not None for name in OPTIONAL}

assert "site-packages" in within.__file__, within.__file__
SCRIPT = Path(sys.executable).with_name("within")


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *words], check=False, capture_output=True, text=True)


version = command("--version")
assert version.returncode == 0, version
assert command("9", "true").returncode == 0
assert command("0.1", "sleep", "60").returncode == 124

for loop in ("trio", "uvloop"):
    done = command(f"--backend={loop}", "9", "echo", "ran")
    if there[loop]:
        assert (done.returncode, done.stdout) == (0, "ran\n"), done
    else:
        assert done.returncode == 125, done
        [complaint] = done.stderr.splitlines()
        assert f"pip install within[{loop}]" in complaint

import within.testing  # needs neither pytest nor Hypothesis

names = {
    "uvloop" if options.get("use_uvloop") else backend
    for backend, options in within.testing.backends()
}
assert names == {"asyncio"} | {loop for loop in ("trio", "uvloop") if there[loop]}


async def answer() -> int:
    async with within.timeout(9):
        return len((await within.run("printf", "four")).stdout)


for loop in names:
    assert within.testing.run(answer, backend=loop) == 4

for module, tool in (("model", "hypothesis"), ("_pytest", "pytest")):
    try:
        importlib.import_module(f"within.testing.{module}")
    except ModuleNotFoundError as error:
        missing = error.name
    else:
        missing = None
    assert missing == (None if there[tool] else tool)

found = [name for name in OPTIONAL if there[name]]
print(
    f"{version.stdout.strip()} on {sys.version.split()[0]}, with",
    ", ".join(found) or "nothing else",
)
