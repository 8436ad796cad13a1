"""The pictures of the site show what happened, and its lists are complete."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

import within
import within.testing
import within.testing.model

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCS, BENCHMARKS, SOURCE = ROOT / "docs", ROOT / "benchmarks", ROOT / "src" / "within"
if not DOCS.is_dir():
    pytest.skip("this distribution has no documentation", allow_module_level=True)

# docs/conf.py does the same when it builds the site.
sys.path += [str(DOCS), str(BENCHMARKS)]

import _draw_architecture as architecture
import _draw_headlines as headlines
import _draw_timeline as timeline
from _check_links import problems
from _timeline import record
from _timeline_programs import PROGRAMS
from parts.measuring import Result, Row, Spread
from parts.report import as_data, from_data
from public_attributes import documented_attributes

SVG = "{http://www.w3.org/2000/svg}"

# After a task has swallowed a cancellation, the loops differ (T16).
DIFFERS = {"swallowing"}

RULES = {
    f"{kind}{number}"
    for kind, last in {"T": 26, "P": 25, "R": 2, "V": 8}.items()
    for number in range(1, last + 1)
}


def semantics() -> str:
    return (DOCS / "semantics.md").read_text("utf-8")


# -- the time axis -----------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_loops_do_the_same_unless_they_are_known_to_differ(name: str) -> None:
    on_asyncio, on_trio = (record(PROGRAMS[name], b) for b in ("asyncio", "trio"))
    assert (on_asyncio == on_trio) is (name not in DIFFERS)


@pytest.mark.parametrize(("loop", "end"), [("asyncio", 3), ("trio", 1)])
def test_t16_swallowing_works_only_on_asyncio(loop: str, end: float) -> None:
    assert record(PROGRAMS["swallowing"], loop).end == end


def test_t14_the_picture_of_a_shield_shows_when_the_deadline_takes_effect() -> None:
    outer, shield = record(PROGRAMS["shielded"], "trio").blocks
    assert outer.deadlines == [(0, 2)]
    assert outer.end == shield.end == 3.5
    assert outer.outcome == "ended by its deadline"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_picture_is_reproducible_and_shows_every_event(name: str) -> None:
    traces = [record(PROGRAMS[name], "asyncio") for _ in range(2)]
    first, second = (timeline.draw(trace, "picture", "asyncio") for trace in traces)
    assert first == second
    shapes = [each.get("class", "") for each in ElementTree.fromstring(first).iter()]
    (trace, _) = traces
    assert shapes.count("deadline") == len(trace.blocks)
    assert shapes.count("rescheduled") == sum(
        len(b.deadlines) - 1 for b in trace.blocks
    )
    assert shapes.count("cancelled") == sum(step.was_cancelled for step in trace.steps)


def test_a_picture_has_a_description_in_words() -> None:
    trace = record(PROGRAMS["done_is_done"], "trio")
    picture = ElementTree.fromstring(timeline.draw(trace, "picture", "trio"))
    assert picture.get("role") == "img"
    described = picture.get("aria-labelledby", "").split()
    assert [picture.find(f"*[@id='{name}']") is not None for name in described] == [
        True,
        True,
    ]
    assert picture.findtext(f"{SVG}desc") == (
        "limit: deadline 2 s; left normally, from 0 s to 4 s. "
        "sleep 1 from 0 s to 1 s. compute 3 from 1 s to 4 s."
    )


def test_each_program_is_shown_once() -> None:
    shown = re.findall(r"^```\{timeline\} (\w+)$", semantics(), re.MULTILINE)
    assert sorted(shown) == sorted(PROGRAMS)


# -- the rules and the names -------------------------------------------------


def test_each_rule_is_stated_once_with_a_link_target() -> None:
    stated = re.findall(
        r'^<a id="(\w+)"></a>\n\n### (\w+) · \S', semantics(), re.MULTILINE
    )
    assert all(target == rule.lower() for target, rule in stated)
    assert sorted(rule for _, rule in stated) == sorted(RULES)


def test_the_index_lists_every_rule_in_order() -> None:
    index, _, rules = semantics().partition("\n## How to read")
    listed = re.findall(r"^- \[([A-Z]\d+)\]\(#(\w+)\): \S", index, re.MULTILINE)
    by_number = sorted(RULES, key=lambda rule: ("TPRV".index(rule[0]), int(rule[1:])))
    assert listed == [(rule, rule.lower()) for rule in by_number]
    assert re.search(r"^### ", rules, re.MULTILINE)


def test_the_rules_of_each_part_are_in_order() -> None:
    for part in re.split(r"^## ", semantics(), flags=re.MULTILINE):
        stated = re.findall(r"^### [A-Z](\d+) · ", part, re.MULTILINE)
        assert stated == sorted(stated, key=int)


def test_each_rule_that_a_test_names_is_on_the_page() -> None:
    named = {
        rule.upper()
        for path in (ROOT / "tests").glob("test_*.py")
        for test in re.findall(r"def test_((?:[tprv]\d+_)+)", path.read_text("utf-8"))
        for rule in test.strip("_").split("_")
    }
    assert named <= RULES


def documented() -> Iterator[str]:
    module = ""
    directive = re.compile(r"^\.\. (?:py:)?(auto)?(\w+):: ([\w.]+)", re.MULTILINE)
    for page in sorted((DOCS / "reference").glob("*.md")):
        for _, kind, name in directive.findall(page.read_text("utf-8")):
            if kind in ("currentmodule", "module"):
                module = name
            else:
                yield name if name.startswith("within.") else f"{module}.{name}"


def test_each_public_name_is_in_the_reference_once() -> None:
    modules: list[Any] = [within, within.testing, within.testing.model]
    public = [f"{m.__name__}.{name}" for m in modules for name in m.__all__]
    found = list(documented())
    assert sorted(found) == sorted(public)


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        (within.Timeout, "timeouts"),
        (within.DeadlineExceeded, "errors"),
        (within.ProcessTimeout, "errors"),
        (within.Completed, "processes"),
        (within.IncompleteOutput, "errors"),
        (within.OutputLimitExceeded, "errors"),
        (within.Server, "processes"),
        (within.ServerFailed, "errors"),
        (within.Usage, "processes"),
        (within.Process, "processes"),
        (within.Stop, "processes"),
        (within.ReceiveStream, "processes"),
        (within.SendStream, "processes"),
        (within.listening, "processes"),
    ],
)
def test_each_public_attribute_is_in_the_reference_once(kind: type, page: str) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text("utf-8")
    _, _, rest = re.split(
        rf"^(\.\. auto\w+:: {kind.__name__}\b)", text, flags=re.MULTILINE
    )
    members, *_ = re.split(r"^(?:\.\.|```)", rest, maxsplit=1, flags=re.MULTILINE)
    directive = r"^   \.\. (?:auto|py:)(?:property|method|attribute):: (?!__)(\w+)"
    found = re.findall(directive, members, re.MULTILINE)
    _, _, described = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found += re.findall(r"^    (\w+):", described, re.MULTILINE)
    expected = documented_attributes(kind)
    # A property of one of Python's classes may be there, too, like CalledProcessError's.
    assert sorted(found) == sorted(expected | {it for it in found if hasattr(kind, it)})


# -- the architecture --------------------------------------------------------


def test_imports_for_type_checkers_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "package_to_draw"
    for name, text in {
        "__init__.py": "from ._a import x\n",
        "_b.py": "import asyncio, json\n",
        "inner/__init__.py": "",
        "inner/_c.py": "from .. import _b\nfrom . import d\n",
        "_a.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n"
            "    from .inner import _c\n"
            "def f():\n"
            "    from ._b import y\n"
        ),
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert architecture.imports(package) == [
        architecture.Import("_a", "_b", is_late=True),
        architecture.Import("_b", "asyncio", is_late=False),
        architecture.Import("inner._c", "_b", is_late=False),
        architecture.Import("inner._c", "inner", is_late=False),
        architecture.Import("package_to_draw", "_a", is_late=False),
    ]


def test_the_picture_has_each_module_and_each_import() -> None:
    drawn = architecture.draw()
    assert drawn == architecture.draw()
    picture = ElementTree.fromstring(drawn)
    shapes = [each.get("class", "").split() for each in picture.iter()]
    files = sorted(path.name for path in SOURCE.rglob("*.py"))
    shown = [
        each.text
        for each in picture.iter(f"{SVG}text")
        if each.get("class") == "module"
    ]
    assert sorted(filter(None, shown)) == sorted([*files, *architecture.LOOPS])
    assert sum("arc" in shape for shape in shapes) == len(architecture.imports())


def test_the_rooms_are_in_the_order_of_the_layers() -> None:
    plan = architecture.rooms(architecture.imports())
    tops = [name.partition(".")[0] for names in plan.values() for name in names]
    rank = architecture.layers().index
    assert tops[-3:] == list(architecture.LOOPS)
    assert tops[:-3] == sorted(tops[:-3], key=rank)
    assert plan["testing.model"][0] == "testing.model"


# -- the benchmarks and the links --------------------------------------------


def test_results_survive_being_written_and_read() -> None:
    spread = Spread(1.0, 2.0, 3.0)
    rows = [Row("within", spread, None, None), Row("other", spread, spread, 1.5)]
    result = Result("asyncio", "a block", "s", 7, None, rows)
    results, curves = from_data(as_data([result], []))  # type: ignore[arg-type]
    assert (results, curves) == ([result], [])


def test_the_headlines_show_what_was_measured() -> None:
    def row(name: str, seconds: float) -> Row:
        return Row(name, Spread(seconds, seconds, seconds), None, None)

    title = "with timeout(10): pass"
    rows = [row("within", 1e-6), row("asyncio.timeout", 2e-6), row("other", 9e-6)]
    drawn = headlines.draw([Result("asyncio", title, "s", 7, None, rows)])
    picture = ElementTree.fromstring(drawn)
    words = [each.text for each in picture.iter(f"{SVG}text")]
    [question] = [each for each in headlines.HEADLINES if each.title == title]
    names = ["within.timeout", "1.00 µs", "asyncio.timeout", "2.00 µs"]
    assert words == [question.question, *names]
    ours, theirs = [float(each.get("width", 0)) for each in picture.iter(f"{SVG}rect")]
    assert theirs == 2 * ours


def test_the_published_results_have_every_headline() -> None:
    results, _ = from_data(json.loads((DOCS / "benchmarks.json").read_text("utf-8")))
    drawn = headlines.draw(results)
    assert all(each.question in drawn for each in headlines.HEADLINES)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<p id='here'><a href='#here'>1</a> <a href='b.html#there'>2</a>"
        "<a href='https://example.org/c.html'>3</a> <img src='d.png'>"
    )
    (tmp_path / "b.html").write_text("<p id='x'><p id='x'><a href='a.html#here'>4</a>")
    assert problems(tmp_path) == [
        "a.html: b.html#there: no such anchor",
        "a.html: d.png: no such file",
        "b.html: duplicate id 'x'",
    ]
