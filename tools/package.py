"""Build what is published, look into it, and install it as a stranger would.

    ./dev package [DIRECTORY]

Built are an sdist, a wheel from it, and a wheel from the tree, which must be the same.
Then the wheel goes into empty environments, on each Python that is found, without
extras and with each; and in one of them the sdist must pass some of its own tests.
What has passed all that is put into the directory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = re.findall(r"Python :: (3\.\d+)", str(PROJECT["project"]["classifiers"]))
EXTRAS = ["", *PROJECT["project"]["optional-dependencies"]]

# For who works on the project, and for the place where that is done.
NOT_IN_SDIST = (".ci/", ".github/", ".pre-commit-config.yaml")

# What of the tests is run from the sdist: all of it would take minutes.
QUICK = ["tests/test_packaging.py", "tests/test_contexts.py", "tests/test_backends.py"]


def run(*command: object, cwd: Path = ROOT) -> str:
    """The output of a command; if it fails, that and the end of it all."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n$ {' '.join(map(str, command))}\nfailed, see above")
    return done.stdout


def install(python: Path, *wanted: object) -> None:
    # An environment without a pip of its own is made in no time.
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *wanted)


# -- what is in it -------------------------------------------------------------


def expected_in_sdist() -> set[str]:
    """All that git has, but for what has no use outside of it."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    return {
        name
        for name in listed.splitlines()
        if not name.startswith(NOT_IN_SDIST) and (ROOT / name).exists()
    } | {"PKG-INFO"}


def expected_in_wheel(version: str) -> set[str]:
    """The package, what describes it, and what goes beside it: the man page, ..."""
    source = ROOT / "src"
    info, data = f"within-{version}.dist-info", f"within-{version}.data/data"
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    described = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]
    return {
        *(str(path.relative_to(source)) for path in source.rglob("*.py")),
        "within/py.typed",
        *(f"{info}/{name}" for name in described),
        *(f"{data}/{place}" for place in shared.values()),
    }


def files_of_sdist(path: Path) -> set[str]:
    with tarfile.open(path) as sdist:
        files = [member.name for member in sdist.getmembers() if member.isfile()]
    return {name.partition("/")[2] for name in files}


def contents_of_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def compare(what: str, found: Iterable[str], expected: Iterable[str]) -> None:
    missing, extra = {*expected} - {*found}, {*found} - {*expected}
    if missing or extra:
        sys.exit(f"{what} lacks {sorted(missing)} and should not have {sorted(extra)}")
    print(f"{what}: {len({*found})} files, as expected", flush=True)


def build(into: Path) -> tuple[Path, Path]:
    """An sdist, and the wheel that is built from it."""
    run(sys.executable, "-m", "build", "--outdir", into, ROOT)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", into / "tree", ROOT)
    [sdist], [wheel], [other] = (
        [*into.glob(pattern)] for pattern in ("*.tar.gz", "*.whl", "tree/*.whl")
    )
    compare("the sdist", files_of_sdist(sdist), expected_in_sdist())
    contents = contents_of_wheel(wheel)
    compare("the wheel", contents, expected_in_wheel(PROJECT["project"]["version"]))
    if contents != contents_of_wheel(other):
        sys.exit("the wheel from the sdist is not the wheel from the tree")
    print("the wheel from the sdist is the wheel from the tree")
    print(run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel).strip())
    print(run(sys.executable, "-m", "check_wheel_contents", wheel).strip(), flush=True)
    return sdist, wheel


# -- how it installs -----------------------------------------------------------


def pythons() -> Iterator[str]:
    """Those that are there and start: a shim of pyenv may not."""
    for version in PYTHONS:
        name = f"python{version}"
        try:
            subprocess.run([name, "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        yield name


def environment(base: str, place: Path) -> Path:
    run(base, "-m", "venv", "--without-pip", place)
    return place / "bin" / "python"


def check_installed(wheel: Path, work: Path) -> None:
    smoke = ROOT / "tools" / "smoke.py"
    for base in pythons():
        for extra in EXTRAS:
            python = environment(base, work / f"{base}-{extra}")
            install(python, f"{wheel}[{extra}]" if extra else wheel)
            # -P: not what lies beside the script. -W: whatever it warns of counts.
            print(run(python, "-P", "-W", "error", smoke, cwd=work).strip(), flush=True)


def check_tests_of_sdist(sdist: Path, work: Path) -> None:
    with tarfile.open(sdist) as packed:
        packed.extractall(work, filter="data")
    root = work / sdist.name.removesuffix(".tar.gz")
    python = environment(sys.executable, work / "sdist")
    install(python, f"{root}[test]", *PROJECT["dependency-groups"]["tests"])
    print(run(python, "-m", "pytest", "-q", *QUICK, cwd=root).splitlines()[-1])


def main(directory: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        sdist, wheel = build(work / "dist")
        check_installed(wheel, work)
        check_tests_of_sdist(sdist, work)
        if directory is not None:
            Path(directory).mkdir(exist_ok=True)
            for built in (sdist, wheel):
                print(shutil.copy(built, directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
