"""The jobs of this project: `./dev JOB [ARGUMENTS]` runs one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml()

# Every CPython that we support.
PYTHONS = nox.project.python_versions(PROJECT)

# The tests of processes. Those of the guard, of trees and of job control need Linux, and
# skip themselves.
PORTABLE = [
    f"tests/test_{name}.py"
    for name in (
        "cancellation_signals",
        "dialogue",
        "dialogue_both",
        "hostile",
        "hostile_children",
        "hostile_descriptors",
        "hostile_orphans",
        "hostile_starts",
        "hostile_stops",
        "listening",
        "processes",
        "pty",
        "pty_ends",
        "reaping",
        "run",
        "run_keep",
        "run_live",
        "send_signal",
        "server",
        "server_ends",
        "states",
        "stopping",
        "streams",
        "streams_limits",
        "streams_lines",
        "streams_pipelines",
        "streams_rest",
        "survivors",
        "text",
        "tree",
    )
]

# The tests of the testing kit, and the oldest packages that the extra "test" accepts.
KIT = [
    f"tests/test_{name}.py"
    for name in (
        "deadlocks",
        "deadlocks_stubborn",
        "model",
        "polling",
        "pytest_fixtures",
        "pytest_plugin",
        "server_fixtures",
        "virtual_time",
        "virtual_time_at_rest",
        "virtual_time_threads",
    )
]
OLDEST = [
    "anyio==4.16.*",
    "hypothesis==6.100.*",
    "pytest==8.3.*",
    "trio==0.32.*",  # which anyio 4.16 needs
    "uvloop==0.21.*",
]

# The files that GitHub reads, and the schema that each has to satisfy.
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
    if group != "tests":
        # pip would compile every module of every package, and a job uses few of them.
        wanted.append("--no-compile")
    session.install(*wanted)


def pytest(session: nox.Session, *options: str) -> list[str]:
    """Set the environment, and return the command that runs the suite on all cores.

    Two processes for each core, because the tests wait for children most of the time.
    """
    # The tests start more than a thousand interpreters. Without bytecode, each of them
    # would compile the package again.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    spread = [f"--numprocesses={2 * (os.cpu_count() or 1)}", "--dist=worksteal"]
    return ["pytest", *spread, *options, *session.posargs]


@nox.session
def demo(session: nox.Session) -> None:
    """Run a command that outlives its limit, on each loop, and list what survives."""
    install(session, "trio", "uvloop")
    session.run("python", "examples/nothing_left.py")


@nox.session
def test(session: nox.Session) -> None:
    """Run the suite on this Python. Arguments go to pytest: ./dev test -k shield."""
    install(session, "test", group="tests")
    session.run(*pytest(session))


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite on this Python, and measure what it covers."""
    install(session, "test", group="tests")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", *pytest(session))
    session.run("coverage", "combine", "--quiet")
    if not session.posargs:  # a part of the suite covers only a part of the code
        session.run("coverage", "report")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite on every Python that is installed."""
    install(session, "test", group="tests")
    session.run(*pytest(session))


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests of the testing kit with the oldest packages that it accepts."""
    install(session, "test")
    session.install(*OLDEST, "pytest-timeout", "pytest-xdist")
    session.run(*pytest(session, *([] if session.posargs else KIT)))


@nox.session
def windows(session: nox.Session) -> None:
    """Run the suite on Windows' CPython under Wine: ./dev windows [3.12] -k p3."""
    session.run("python", "tools/windows.py", *session.posargs)


@nox.session
def portable(session: nox.Session) -> None:
    """Run the tests of processes without what only Linux has, as on macOS."""
    install(session, "test", group="tests")
    session.env["PYTHONPATH"] = "tests"
    session.run(
        *pytest(session, "-p", "without_linux"), *([] if session.posargs else PORTABLE)
    )


@nox.session
def stress(session: nox.Session) -> None:
    """Run the suite again and again while the other cores are busy: ./dev stress 20."""
    install(session, "test", group="tests")
    times, *rest = session.posargs or ["20"]
    burn = [sys.executable, "-c", "while True: pass"]
    load = [subprocess.Popen(burn) for _ in range((os.cpu_count() or 2) - 1)]
    try:
        for _ in range(int(times)):
            session.run("pytest", "-q", "-x", *rest)  # one process: a core is left
    finally:
        for process in load:
            process.kill()
            process.wait()


@nox.session
def long(session: nox.Session) -> None:
    """Check the properties with 20,000 examples each; takes some minutes."""
    install(session, "test", group="tests")
    options = ["--hypothesis-profile=long", "--timeout=0"]
    session.run(
        *pytest(
            session,
            *options,
            *(f"tests/test_{name}.py" for name in ("model", "alarm", "census")),
        )
    )


@nox.session
def mutate(session: nox.Session) -> None:
    """Break the timeouts in each known way; report the test that notices."""
    install(session, "test", group="tests")
    session.run("python", "tests/mutations.py", *session.posargs)


@nox.session
def cancellations(session: nox.Session) -> None:
    """Cancel each scenario at its first, second, ... suspension; count the leaks."""
    install(session, "test", group="tests")
    session.run("python", "tests/cancellation.py", *session.posargs)


@nox.session
def threads(session: nox.Session) -> None:
    """Run loops in many threads at once, with limits and children: ./dev threads 8."""
    install(session, "trio")
    session.run("python", "tests/many_threads.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Do 10,000 mixed runs on each loop; report open descriptors and memory."""
    install(session, "trio", "uvloop")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def tables(session: nox.Session) -> None:
    """Measure how we and our peers behave in the awkward cases."""
    install(session, "trio", "uvloop", group="peers")
    session.run("python", "benchmarks/tables.py", *session.posargs)


@nox.session
def speed(session: nox.Session) -> None:
    """Measure blocks and processes beside each peer: ./dev speed --pictures DIR."""
    install(session, "trio", "uvloop", group="peers")
    if "--pictures" in session.posargs:
        session.install("matplotlib>=3.9")
    session.run("python", "benchmarks/speed.py", *session.posargs)


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Format every file."""
    install(session, group="lint")
    session.run("ruff", "check", "--fix", "--quiet", ".")
    session.run("ruff", "format", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code, its imports, and the files that GitHub reads."""
    install(session, group="lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache", "--no-logo")
    session.run("zizmor", "--offline", "--quiet", ".github")
    for pattern, schema in SCHEMAS.items():
        files = map(str, Path(".github").glob(pattern))
        session.run("check-jsonschema", f"--builtin-schema=vendor.{schema}", *files)
    session.run("pre-commit", "validate-config")


@nox.session
def types(session: nox.Session) -> None:
    """Run both type checkers, and check that every public name has a type."""
    install(session, "test", group="types")
    session.run("mypy")
    session.run("pyright")
    # The same for Windows, where other modules and branches run. The modules for POSIX
    # are still imported there, but not reported.
    windows = ("--platform=win32", "--follow-imports=silent", "--exclude=/_posix/")
    session.run("mypy", *windows, "src")
    session.run("pyright", "--project=tools/pyright-windows.json")
    # Parts of Hypothesis' SearchStrategy have no types, hence --ignoreexternal.
    session.run("pyright", "--verifytypes", "within", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in docs/_build; ./dev docs linkcheck also follows its links."""
    install(session, "test", group="docs")
    build = ["sphinx-build", "--quiet", "--nitpicky", "--fail-on-warning"]
    if "linkcheck" in session.posargs:  # uses the network
        session.run(*build, "-b", "linkcheck", "docs", "docs/_build/linkcheck")
        return
    session.run(*build, "docs", "docs/_build")
    session.run("python", "docs/_check_links.py", "docs/_build")


@nox.session
def package(session: nox.Session) -> None:
    """Build and check what is published, and install it: ./dev package [DIRECTORY]."""
    session.install(*nox.project.dependency_groups(PROJECT, "package"))
    session.run("python", "tools/package.py", *session.posargs)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Run every check, build into dist/, and tag. This publishes nothing."""
    session.run(sys.executable, "tools/release.py", "check")
    jobs = ("lint", "types", "docs", "coverage", "test -m exhaustive", "tests")
    for job in (*jobs, "package dist"):
        session.run("./dev", *job.split())
    session.run(sys.executable, "tools/release.py", "tag")
