"""What every page of the site gets: its place, its description, tables for phones.

The pages stay plain Markdown where that is enough, because people also read them in
the repository, where no directive is rendered. What the site adds to the Markdown is
here, too: pairs of programs side by side, and the targets of the rules.
"""

from __future__ import annotations

import html
import re
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any

import _draw_card
from docutils import nodes
from sphinx import addnodes
from sphinx.writers.html5 import HTML5Translator

import within.testing

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ANCHOR = re.compile(r'^<a id="(\w+)"></a>\n$', re.MULTILINE)
SIDE = r"(\*\*{}\*\*, [^\n]+\n\n```python\n.*?\n```\n)"
PAIR = re.compile(rf"{SIDE.format('Before')}\n{SIDE.format('After')}", re.DOTALL)
BESIDE = """\
::::{{grid}} 1 1 2 2
:gutter: 1
:padding: 0
:class-container: pair

:::{{grid-item}}
{}:::

:::{{grid-item}}
{}:::
::::
"""
LINK = re.compile(r"\]\(([\w-]+)\.md\)")
EXAMPLE = re.compile(r"\(((?:\.\./)+)examples/(test_)?(\w+)\.py\)")
OURS = re.compile(r"(?:await |async with |with |@)?(within(?:\.testing)?\.[a-zA-Z]\w*)")
MEMBER = re.compile(r"(?:within\.)?(([A-Z]\w+)\.[a-z]\w*)\b")
NAMES = {"within": within.__all__, "within.testing": within.testing.__all__}
TIGHT = 6  # and one with this many only fits on a page in small print


def project_urls() -> dict[str, str]:
    """The addresses under [project.urls] in pyproject.toml, by their names."""
    found = metadata("within").get_all("Project-URL") or []
    return dict(line.split(", ", 1) for line in found)


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the pages that a page called ``index`` links to into the navigation."""
    text = source[0]
    if page.endswith("/index") and "{toctree}" not in text:
        names = LINK.findall(text)
        if page == "examples/index":  # it leads to the programs themselves
            names = [name for _, _, name in EXAMPLE.findall(text)]
        pages = "\n".join(dict.fromkeys(names))
        source[0] = f"{text}\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def link_examples(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead from a link to an example, which works in the repository, to its page."""

    def as_page(found: re.Match[str]) -> str:
        up = found[1].removeprefix("../")  # from the root of the repository to docs/
        tests = "#its-tests" if found[2] else ""
        name = found[3].removesuffix("_server")  # shown together with its client
        if not (app.srcdir / "examples" / f"{name}.md").exists():
            return found[0]
        return f"({up}examples/{name}.md{tests})"

    source[0] = EXAMPLE.sub(as_page, source[0])


def set_targets(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn anchors into targets, to which the docstrings can link as well."""
    source[0] = ANCHOR.sub(r"(\1)=", source[0])


def put_side_by_side(app: Sphinx, page: str, source: list[str]) -> None:
    """Show the two programs of a pair in two columns."""
    if page.startswith("migration/"):
        source[0] = PAIR.sub(lambda pair: BESIDE.format(pair[1], pair[2]), source[0])


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Lead from `within.run(…)` or `Stop.grace` in a text to its entry."""
    for code in list(doctree.findall(nodes.literal)):
        name = _name_in(code.astext())
        if name is None or not isinstance(code.parent, nodes.paragraph):
            continue
        target = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=name, refwarn=True
        )
        code.replace_self(target)
        target += code


def _name_in(code: str) -> str | None:
    if (found := MEMBER.match(code)) and found[2] in NAMES["within"]:
        return f"within.{found[1]}"
    if (found := OURS.match(code)) is None:
        return None
    module, _, name = found[1].rpartition(".")
    return found[1] if name in NAMES[module] else None


def label_cells(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Tell each cell of a wide table its heading: on a phone each row is a card."""
    for table in doctree.findall(nodes.table):
        heads = [entry for head in table.findall(nodes.thead) for entry in head[0]]
        table["classes"] += ["cards", "pairs"] if len(heads) == 2 else ["cards"]
        if len(heads) >= TIGHT:
            table["classes"].append("measured")
        for body in table.findall(nodes.tbody):
            for row in body.children:
                for entry, head in zip(row.children, heads, strict=False):
                    entry["label"] = head.astext()
                    if not entry.astext():
                        entry["classes"].append("empty")


class Translator(HTML5Translator):
    def starttag(self, node: Any, tagname: str, *rest: Any, **attributes: Any) -> str:
        if tagname.lower() in ("td", "th") and "label" in node:
            attributes["data-label"] = node["label"]
        return super().starttag(node, tagname, *rest, **attributes)


def describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """The description that search engines and messengers show with a link."""
    paragraphs = [] if doctree is None else doctree.findall(nodes.paragraph)
    first = next((paragraph.astext() for paragraph in paragraphs), "")
    words = " ".join((first or metadata("within")["Summary"]).split())
    if len(words) > 200:
        words = words[:200].rsplit(" ", 1)[0] + " …"
    base = app.config.html_baseurl
    title = context.get("title") or "within"
    tags = {
        "og:title": re.sub("<[^>]*>", "", title),
        "og:description": words,
        "og:type": "website",
        "og:site_name": "within",
        "og:image": f"{base}_static/{_draw_card.NAME}",
        "twitter:card": "summary_large_image",
    }
    if base:
        tags["og:url"] = f"{base}{page}.html"
    lines = [f'<meta name="description" content="{html.escape(words)}" />']
    for name, value in tags.items():
        safe = html.escape(html.unescape(value))
        lines.append(f'<meta property="{name}" content="{safe}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def draw_card(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        _draw_card.draw(app.outdir / "_static" / _draw_card.NAME)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", add_contents)
    app.connect("source-read", link_examples)
    app.connect("source-read", set_targets)
    app.connect("source-read", put_side_by_side)
    app.connect("doctree-read", link_names)
    app.connect("doctree-resolved", label_cells)
    app.connect("html-page-context", describe)
    app.connect("build-finished", draw_card)
    app.set_translator("html", Translator)
    return {"parallel_read_safe": True}
