"""The release tool names every obstacle, and tags a tree only if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import release

CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-01-31

### Added

- A thing.

## [1.1.0] - 2025-12-24

- Another.
"""


PYPROJECT = """\
[project]
version = "1.2.0"

[project.urls]
Repository = "https://example.org/repository"
"""


class Tree:
    """A repository with only the files that a release needs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Somebody")
        self.git("config", "user.email", "somebody@example.org")
        self.git("config", "tag.gpgSign", "false")
        self.git("config", "commit.gpgSign", "false")
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "CHANGELOG.md").write_text(CHANGELOG)
        self.commit()

    def git(self, *words: str) -> str:
        return release.git(self.root, *words)

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "A change")

    def change(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.commit()

    @property
    def obstacles(self) -> list[str]:
        return list(release.obstacles(self.root))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Tree(tmp_path)


def test_a_tree_without_obstacles(tree: Tree) -> None:
    assert tree.obstacles == []


def test_a_tree_that_is_not_clean(tree: Tree) -> None:
    (tree.root / "new.py").touch()
    [found] = tree.obstacles
    assert "not clean" in found
    assert "new.py" in found


def test_a_project_without_an_address(tree: Tree) -> None:
    tree.change("pyproject.toml", "Repository =", "Homepage =")
    assert tree.obstacles == [
        "pyproject.toml: give the address of the Repository in [project.urls]"
    ]


def test_a_branch_other_than_main(tree: Tree) -> None:
    tree.git("switch", "--quiet", "--create", "feature")
    assert tree.obstacles == ["this is branch 'feature': release from main"]


def test_a_version_that_is_tagged_already(tree: Tree) -> None:
    tree.git("tag", "v1.2.0")
    [found] = tree.obstacles
    assert found.startswith("v1.2.0 is tagged already")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("## [1.2.0] - 2026-01-31\n", "", "no section '## [1.2.0] - YYYY-MM-DD'"),
        (" - 2026-01-31", "", "1.2.0 has the date ''"),
        ("2026-01-31", "2026-02-31", "has the date '2026-02-31'"),
        ("### Added\n\n- A thing.\n", "", "no text for 1.2.0"),
        ("[Unreleased]\n", "[Unreleased]\n\n- More.\n", "under [Unreleased]"),
    ],
)
def test_a_changelog_that_is_not_ready(
    tree: Tree, old: str, new: str, says: str
) -> None:
    tree.change("CHANGELOG.md", old, new)
    assert any(says in found for found in tree.obstacles), tree.obstacles


@pytest.mark.parametrize("version", ["1.2", "1.2.0.dev1", "1.2.0+local"])
def test_a_version_that_cannot_be_released(tree: Tree, version: str) -> None:
    tree.change("pyproject.toml", "1.2.0", version)
    assert any("cannot be released" in found for found in tree.obstacles)


def test_a_release_candidate_can_be_released(tree: Tree) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        tree.change(name, "1.2.0", "1.2.0rc1")
    assert tree.obstacles == []


def test_all_obstacles_are_named_at_once(tree: Tree) -> None:
    tree.git("tag", "v1.2.0")
    tree.git("switch", "--quiet", "--create", "feature")
    (tree.root / "new.py").touch()
    with pytest.raises(SystemExit, match="cannot release") as raised:
        release.check(tree.root)
    assert str(raised.value).count("\n- ") == 3


def test_the_tag_has_the_notes(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    release.tag(tree.root)
    assert tree.git("tag", "--list", "--format=%(contents)", "v1.2.0") == (
        "within 1.2.0\n\n### Added\n\n- A thing."
    )
    assert "git push origin main v1.2.0" in capsys.readouterr().out
