"""Checks whether this tree can be released, and tags the release.

    ./dev release             check, run every job, build into dist/, tag
    tools/release.py check    only check; names every obstacle
    tools/release.py version  print the version of this tree

This uploads nothing. When the tag is pushed, `.github/workflows/release.yml` builds
the release again and publishes it.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def project(root: Path) -> dict[str, Any]:
    """pyproject.toml is the only place that has the version and the addresses."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())
    found: dict[str, Any] = table["project"]
    return found


def version_of(root: Path) -> str:
    version: str = project(root)["version"]
    return version


def section(changelog: str, name: str) -> tuple[str, str] | None:
    """The date beside a heading and the text below it, or None without the heading."""
    heading = rf"^## \[{re.escape(name)}\](?: - ([^\n]*))?\n(.*?)(?=^## |^\[|\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    return found and (found[1] or "", found[2].strip())


def obstacles(root: Path, branch: str = "main") -> Iterator[str]:
    """Every obstacle to a release, each with its remedy."""
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        yield f"pyproject.toml: version {version!r} cannot be released"
    if "Repository" not in project(root).get("urls", {}):
        yield "pyproject.toml: give the address of the Repository in [project.urls]"
    if (here := git(root, "branch", "--show-current")) != branch:
        yield f"this is branch {here!r}: release from {branch}"
    if changed := git(root, "status", "--porcelain"):
        yield f"the tree is not clean, commit or remove:\n{changed}"
    if git(root, "tag", "--list", f"v{version}"):
        yield f"v{version} is tagged already: set a new version in pyproject.toml"
    changelog = (root / "CHANGELOG.md").read_text()
    if (waiting := section(changelog, "Unreleased")) and waiting[1]:
        yield "CHANGELOG.md: move the text under [Unreleased] below the new version"
    notes = section(changelog, version)
    if notes is None:
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"
        return
    date, text = notes
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        yield f"CHANGELOG.md: {version} has the date {date!r}: write YYYY-MM-DD"
    if not text:
        yield f"CHANGELOG.md has no text for {version}"


def check(root: Path) -> None:
    if found := list(obstacles(root)):
        sys.exit("cannot release:\n- " + "\n- ".join(found))
    print(f"{version_of(root)} can be released")


def tag(root: Path) -> None:
    version = version_of(root)
    _, notes = section((root / "CHANGELOG.md").read_text(), version) or ("", "")
    # Verbatim: otherwise git would drop the headings as comments.
    message = f"within {version}\n\n{notes}"
    git(root, "tag", "--annotate", f"v{version}", "--cleanup=verbatim", "-m", message)
    print(
        f"tagged v{version}. To publish it, push the tag:\n"
        f"    git push origin main v{version}\n"
        "or, without the workflow, upload what is in dist/:\n"
        f"    python -m twine upload dist/within-{version}*"
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check"]:
            check(ROOT)
        case ["tag"]:
            check(ROOT)
            tag(ROOT)
        case ["version"]:
            print(version_of(ROOT))
        case _:
            sys.exit("usage: tools/release.py check | tag | version")
