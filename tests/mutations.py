"""Breaks the timeouts in the ways that mutation_list.py names, and sees what notices.

    ./dev mutate [WORDS...]     all mutations, or those whose name has each word

Each mutation is made in a copy of the source. The properties run first, then the other
tests of timeouts; the first test that fails has caught the mutation.
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
EXAMPLES = [
    "tests/test_alarm_on_loops.py",
    "tests/test_punctuality.py",
    "tests/test_lossless.py",
    "tests/test_arguments.py",
    "tests/test_foreign_cancellation.py",
    "tests/test_no_residue.py",
    "tests/test_messages.py",
    "tests/test_rescheduling.py",
    "tests/test_misuse.py",
    "tests/test_shields.py",
    "tests/test_level_triggered.py",
    "tests/test_effective_deadline.py",
    "tests/test_tasks_and_loops.py",
    "tests/test_neighbours.py",
    "tests/test_neighbouring_groups.py",
    "tests/test_httpx.py",
]
OPTIONS = [
    *("-x", "-q", "--no-header", "--tb=no", "--timeout=60"),
    *("-p", "no:randomly", "--hypothesis-profile=mutate"),
]


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if all(word in m.name for word in words)]
    if stale := list(describe_stale(chosen)):
        print(*stale, sep="\n")
        print(f"{len(stale)} of {len(chosen)} no longer apply: edit mutation_list.py")
        return 2
    survived = 0
    for mutation in chosen:
        caught_by = try_out(mutation)
        survived += caught_by is None
        print(f"{mutation.name:62} {caught_by or '*** SURVIVED ***'}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} caught")
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


def try_out(mutation: Mutation) -> str | None:
    """The first test that fails with the mutation in place."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "src")
        shutil.copytree(SOURCE, copy)
        file = copy / "within" / mutation.file
        file.write_text(file.read_text().replace(mutation.old, mutation.new))
        for tests in (PROPERTIES, EXAMPLES):
            try:
                if caught_by := first_failure(copy, tests):
                    return caught_by
            except subprocess.TimeoutExpired:
                return "a test that hangs"
    return None


def first_failure(source: Path, tests: list[str]) -> str | None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *tests],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode == 0:
        return None
    line = r"^(?:FAILED|ERROR) \S*?([^/\s]+\.py)(\S*)"
    if failed := re.search(line, done.stdout, re.MULTILINE):
        return failed[1] + failed[2]
    if "Timeout" in done.stdout + done.stderr:
        return "a test that hangs"
    sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
