"""The helper that runs pytest in other tests."""

from __future__ import annotations

import re

import pytest
from forked_pytest import PRINTING
from pytest_runs import run_pytest

FAILS = f"""\
def test_it():
    raise ValueError({"a long reason " * 20!r})
"""


def test_a_run_prints_the_same_on_every_machine(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = set()
    for value in (None, "1"):
        for name in PRINTING:
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, {"COLUMNS": "200"}.get(name, value))
        outcome = run_pytest(pytester, FAILS)
        assert [verdict for _, verdict in outcome.tests] == ["FAILED"], outcome.text
        texts.add(re.sub(r"\d\.\d\ds", "", outcome.text))
    assert len(texts) == 1, texts
