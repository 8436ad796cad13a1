"""Breaks the timeouts in the ways that mutation_list.py names, and sees what notices.

    ./dev mutate [WORDS...]     all mutations, or those whose name has each word

Each mutation is made in a copy of the source. The tests whose names have the rule of the
mutation run first, because one of them ought to fail, and then all other tests of
timeouts. The first test that fails has caught the mutation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mutation_list import MUTATIONS, Mutation

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"

PROPERTIES = [
    "tests/test_open_blocks.py",
    "tests/test_alarm.py",
    "tests/test_model.py",
    "tests/test_model_reference.py",
]
OPTIONS = [
    *("-x", "-q", "--no-header", "--tb=no", "--timeout=60"),
    *("-p", "no:randomly", "--hypothesis-profile=mutate"),
]
_RULE = re.compile(r"^(?:async )?def test_t\d+_", re.MULTILINE)
_NO_TESTS = 5  # what pytest returns if `-k` leaves none


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if all(word in m.name for word in words)]
    if stale := list(describe_stale(chosen)):
        print(*stale, sep="\n")
        print(f"{len(stale)} of {len(chosen)} no longer apply: edit mutations_of_*.py")
        return 2
    needed = [m for m in chosen if sys.version_info < m.only_before]
    survived = 0
    for mutation in needed:
        caught_by = try_out(mutation)
        survived += caught_by is None
        print(f"{mutation.name:78} {caught_by or '*** SURVIVED ***'}", flush=True)
    print(f"{len(needed) - survived} of {len(needed)} caught")
    if others := len(chosen) - len(needed):
        print(f"{others} more change only what an older Python needs")
    return int(survived > 0)


def describe_stale(
    mutations: Iterable[Mutation], source: Path = SOURCE
) -> Iterator[str]:
    """One line for each mutation whose text is not in its file exactly once."""
    for mutation in mutations:
        path = source / "within" / mutation.file
        count = path.read_text().count(mutation.old) if path.exists() else None
        if count is None:
            yield f"{mutation.name}: there is no file {mutation.file}"
        elif count != 1:
            yield f"{mutation.name}: {mutation.file} has {count} times {mutation.old!r}"


def tests_of_timeouts() -> list[str]:
    """The properties, and then every other file with a test of a rule T1, T2, …"""
    found = sorted(
        f"tests/{path.name}"
        for path in (ROOT / "tests").glob("test_*.py")
        if _RULE.search(path.read_text())
    )
    return PROPERTIES + [path for path in found if path not in PROPERTIES]


def try_out(mutation: Mutation) -> str | None:
    """The first test that fails with the mutation in place."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "src")
        shutil.copytree(SOURCE, copy)
        file = copy / "within" / mutation.file
        file.write_text(file.read_text().replace(mutation.old, mutation.new))
        rule = mutation.name.partition(":")[0].lower() + "_"
        for names in (rule, f"not {rule}"):
            try:
                if caught_by := first_failure(copy, names):
                    return caught_by
            except subprocess.TimeoutExpired:
                return "a test that hangs"
    return None


def first_failure(source: Path, names: str) -> str | None:
    """The first test that fails, of those whose names match ``-k names``."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "-k", names, *tests_of_timeouts()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode in (0, _NO_TESTS):
        return None
    line = r"^(?:FAILED|ERROR) \S*?([^/\s]+\.py)(\S*)"
    if failed := re.search(line, done.stdout, re.MULTILINE):
        return failed[1] + failed[2]
    if "Timeout" in done.stdout + done.stderr:
        return "a test that hangs"
    sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
