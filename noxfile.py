"""The jobs of this project. `./dev JOB [ARGUMENTS]` runs one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml()

# Every CPython that we support; those that are not installed are passed over.
PYTHONS = nox.project.python_versions(PROJECT)

# Where the files are that GitHub reads, and the schema of each.
SCHEMAS = {
    "workflows/*.yml": "github-workflows",
    "dependabot.yml": "dependabot",
    "ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "ISSUE_TEMPLATE/[0-9]*.yml": "github-issue-forms",
}


def install(session: nox.Session, *extras: str, group: str | None = None) -> None:
    wanted = ["-e", f".[{','.join(extras)}]" if extras else "."]
    if group:
        wanted += nox.project.dependency_groups(PROJECT, group)
    session.install(*wanted)


@nox.session
def demo(session: nox.Session) -> None:
    """Run a command that would outlive its limit, on each loop; show what is left."""
    install(session, "trio", "uvloop")
    session.run("python", "examples/nothing_left.py")


@nox.session
def test(session: nox.Session) -> None:
    """The whole suite on the Python at hand, with coverage."""
    install(session, "test", group="tests")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    if not session.posargs:  # a part of the suite covers a part of the code
        session.run("coverage", "report")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite on each Python that is found."""
    install(session, "test", group="tests")
    session.run("pytest", *session.posargs)


@nox.session
def stress(session: nox.Session) -> None:
    """The suite again and again, with the other cores loaded: ./dev stress 20."""
    install(session, "test", group="tests")
    times, *rest = session.posargs or ["20"]
    burn = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(burn) for _ in range((os.cpu_count() or 2) - 1)]
    try:
        for _ in range(int(times)):
            session.run("pytest", "-q", "-x", *rest)
    finally:
        for process in load:
            process.kill()
            process.wait()


@nox.session
def long(session: nox.Session) -> None:
    """The properties with 20,000 examples each: some minutes."""
    install(session, "test", group="tests")
    session.run(
        "pytest",
        "--hypothesis-profile=long",
        "--timeout=0",
        "tests/test_model.py",
        "tests/test_alarm.py",
        *session.posargs,
    )


@nox.session
def mutate(session: nox.Session) -> None:
    """Break the timeouts in each way that is written down; see what catches it."""
    install(session, "test", group="tests")
    session.run("python", "tests/mutations.py", *session.posargs)


@nox.session
def cancellations(session: nox.Session) -> None:
    """Cancel each scenario at its first, second, ... suspension; count the leaks."""
    install(session, "test", group="tests")
    session.run("python", "tests/cancellation.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """10,000 mixed runs on each loop: what is open, and how much memory."""
    install(session, "trio", "uvloop")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def tables(session: nox.Session) -> None:
    """What hurts with the others, beside us: measured, never written down."""
    install(session, "trio", "uvloop", group="peers")
    session.run("python", "benchmarks/tables.py", *session.posargs)


@nox.session
def speed(session: nox.Session) -> None:
    """What blocks and processes cost, beside each peer: ./dev speed --pictures DIR."""
    install(session, "trio", "uvloop", group="peers")
    if "--pictures" in session.posargs:
        session.install("matplotlib>=3.9")
    session.run("python", "benchmarks/speed.py", *session.posargs)


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Put every file into shape."""
    install(session, group="lint")
    session.run("ruff", "check", "--fix", "--quiet", ".")
    session.run("ruff", "format", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Look for what a reader would trip over, in the workflows too."""
    install(session, group="lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("zizmor", "--offline", "--quiet", ".github")
    for pattern, schema in SCHEMAS.items():
        files = map(str, Path(".github").glob(pattern))
        session.run("check-jsonschema", f"--builtin-schema=vendor.{schema}", *files)
    session.run("pre-commit", "validate-config")


@nox.session
def types(session: nox.Session) -> None:
    """Both checkers, strictly; then whether users see a type for everything."""
    install(session, "test", group="types")
    session.run("mypy")
    session.run("pyright")
    # External: Hypothesis' SearchStrategy has parts that Hypothesis does not type.
    session.run("pyright", "--verifytypes", "within", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into docs/_build; ./dev docs linkcheck tries its links out."""
    install(session, "test", group="docs")
    build = ["sphinx-build", "--quiet", "--nitpicky", "--fail-on-warning"]
    if "linkcheck" in session.posargs:  # asks the network
        session.run(*build, "-b", "linkcheck", "docs", "docs/_build/linkcheck")
        return
    session.run(*build, "docs", "docs/_build")
    session.run("python", "docs/_check_links.py", "docs/_build")


@nox.session
def package(session: nox.Session) -> None:
    """Build, look inside, install on each Python found: ./dev package [DIRECTORY]."""
    session.install(*nox.project.dependency_groups(PROJECT, "package"))
    session.run("python", "tools/package.py", *session.posargs)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Check all that can be checked, build into dist/, tag; publishes nothing."""
    session.run(sys.executable, "tools/release.py", "check")
    for job in ("lint", "types", "docs", "test", "tests", "package dist"):
        session.run("./dev", *job.split())
    session.run(sys.executable, "tools/release.py", "tag")
