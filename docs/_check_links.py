"""Every link within the site leads somewhere: python docs/_check_links.py OUT.

Sphinx checks what it resolves itself; this looks at what a browser gets.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Page(HTMLParser):
    """What a page has to link to, and what it links to."""

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
    """A line for each link that leads nowhere, and for each id that a page has twice."""
    pages: dict[Path, Page] = {}
    for path in sorted(site.resolve().rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text("utf-8"))
    found: list[str] = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        twice = {name for name in page.ids if page.ids.count(name) > 1}
        found += [f"{where}: the id {name!r} twice" for name in sorted(twice)]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue  # others' pages are for `sphinx-build -b linkcheck`
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists():
                found.append(f"{where}: {link}: there is no such file")
            elif place and target in pages and place not in pages[target].ids:
                found.append(f"{where}: {link}: there is no such place")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]))) or None)
