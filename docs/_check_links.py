"""Check that the site has no broken internal links: python docs/_check_links.py OUT.

Sphinx checks only the links that it resolves itself. This checks the generated HTML.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Page(HTMLParser):
    """The ids and the links of a page."""

    ids: list[str] = field(default_factory=list[str])
    links: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src"):
                self.links.append(value)


def problems(site: Path) -> list[str]:
    """Return a line for each broken link and for each duplicate id."""
    pages: dict[Path, Page] = {}
    for path in sorted(site.resolve().rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text("utf-8"))
    found: list[str] = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        twice = {name for name in page.ids if page.ids.count(name) > 1}
        found += [f"{where}: duplicate id {name!r}" for name in sorted(twice)]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue  # `sphinx-build -b linkcheck` checks external links
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists():
                found.append(f"{where}: {link}: no such file")
            elif place and target in pages and place not in pages[target].ids:
                found.append(f"{where}: {link}: no such anchor")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]))) or None)
