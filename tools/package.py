"""Builds what is published, checks its contents, and installs it as a user would.

    ./dev package [DIRECTORY]

This builds an sdist, a wheel from the sdist, and a wheel from the tree; both wheels
must be the same. It installs the wheel into empty environments, on each Python that
is installed, without extras and with each of them. In one more environment the sdist
must pass some of its own tests. At the end it copies both files into the directory.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = re.findall(r"Python :: (3\.\d+)", str(PROJECT["project"]["classifiers"]))
EXTRAS = ["", *PROJECT["project"]["optional-dependencies"]]

# The tests that are run from the sdist. All of them would take minutes.
QUICK = ["tests/test_packaging.py", "tests/test_contexts.py", "tests/test_backends.py"]


def run(*command: object, cwd: Path = ROOT) -> str:
    """Return the output of a command. If the command fails, print it and exit."""
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
    # Our own pip installs into the other environment, which is created without one.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    run(*pip, "--no-compile", *wanted)  # each environment is used once


# -- the contents --------------------------------------------------------------


def expected_in_wheel(version: str) -> set[str]:
    """The package, its metadata, and the shared files such as the man page."""
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


def contents_of_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def check_wheel(contents: dict[str, bytes]) -> None:
    expected = expected_in_wheel(PROJECT["project"]["version"])
    missing, extra = expected - contents.keys(), contents.keys() - expected
    if missing or extra:
        sys.exit(f"the wheel lacks {sorted(missing)}; it must not have {sorted(extra)}")
    print(f"the wheel has {len(contents)} files, as expected", flush=True)


def build(into: Path) -> tuple[Path, Path]:
    """An sdist, and the wheel that is built from it."""
    print(run(sys.executable, "-m", "check_sdist", "--installer=pip").splitlines()[-1])
    run(sys.executable, "-m", "build", "--outdir", into, ROOT)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", into / "tree", ROOT)
    [sdist], [wheel], [other] = (
        [*into.glob(pattern)] for pattern in ("*.tar.gz", "*.whl", "tree/*.whl")
    )
    contents = contents_of_wheel(wheel)
    check_wheel(contents)
    if contents != contents_of_wheel(other):
        sys.exit("the wheel from the sdist differs from the wheel from the tree")
    print("the wheel from the sdist is the wheel from the tree")
    print(run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel).strip())
    print(run(sys.executable, "-m", "check_wheel_contents", wheel).strip(), flush=True)
    return sdist, wheel


# -- the installation ----------------------------------------------------------


def pythons() -> Iterator[str]:
    """The Pythons on PATH that run: a shim of pyenv may exist and still fail."""
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
            # -P keeps tools/ off sys.path; -W makes every warning an error.
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
