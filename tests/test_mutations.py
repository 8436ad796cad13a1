"""The mutations of `./dev mutate` still apply to the source."""

from __future__ import annotations

from pathlib import Path

from mutation_list import MUTATIONS, Mutation
from mutations import SOURCE, describe_stale


def test_each_mutation_applies_to_the_source() -> None:
    assert list(describe_stale(MUTATIONS)) == []


def test_each_mutation_leaves_valid_python() -> None:
    for mutation in MUTATIONS:
        source = (SOURCE / "within" / mutation.file).read_text()
        compile(source.replace(mutation.old, mutation.new), mutation.name, "exec")


def test_no_two_mutations_have_one_name() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert [name for name in names if names.count(name) > 1] == []


def test_a_mutation_that_no_longer_applies_is_named(tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "here.py").write_text("x = 1\ny = x\n")
    mutations = [
        Mutation("T1: once", "here.py", "x = 1", ""),
        Mutation("T2: twice", "here.py", "x", ""),
        Mutation("T3: never", "here.py", "z", ""),
        Mutation("T4: lost", "gone.py", "x", ""),
    ]
    assert list(describe_stale(mutations, tmp_path)) == [
        "T2: twice: here.py has 2 times 'x'",
        "T3: never: here.py has 0 times 'z'",
        "T4: lost: there is no file gone.py",
    ]
