"""The command `within`: its help, page, manual page and completions."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from within.__main__ import main
from within._command_line._options import OPTIONS

ROOT = Path(__file__).parents[1]
SOURCES = {
    "help": None,
    "page": ROOT / "docs" / "command-line.md",
    "manual": ROOT / "man" / "within.1",
    "bash": ROOT / "completions" / "within.bash",
    "zsh": ROOT / "completions" / "_within",
    "fish": ROOT / "completions" / "within.fish",
}


def test_the_help_fits_a_screen(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert main(["60", "--version"]) == 0
    assert capfd.readouterr().out.startswith("within ")


@pytest.mark.parametrize("where", SOURCES)
def test_every_option_is_listed_and_no_other(
    where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if source := SOURCES[where]:
        text = source.read_text()
    else:
        assert main(["--help"]) == 0
        text = capfd.readouterr().out
    if where == "manual":
        text = text.replace("Fl Fl ", "--").replace("Fl ", "-").replace(".It -", " -")
    if where == "fish":
        lines = [line for line in text.splitlines() if line.startswith("complete")]
        text = re.sub("-s ([a-z]) ", r" -\1 ", "\n".join(lines))
        text = re.sub(" -l ([a-z])", r" --\1", text)
    for option in OPTIONS:
        assert re.search(rf"--{option.long}\b", text), option
        if option.short:
            assert re.search(rf"[^-\w]-{option.short}\b", text), option
    known = {option.long for option in OPTIONS}
    foreign = {"fcs-skip"}  # an option of fish
    assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text)) - foreign <= known | (
        {"sig"} if where == "page" else set()  # an abbreviation
    )


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc here")
def test_the_manual_is_well_formed() -> None:
    lint = ["mandoc", "-T", "lint", "-W", "warning", str(SOURCES["manual"])]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_the_manual_can_be_shown() -> None:
    command = ["groff", "-ww", "-man", "-Tascii", "-P-cbou", str(SOURCES["manual"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--preserve-status" in done.stdout


COMPLETIONS = [
    ("within --back", "--backend"),
    ("within 10 --tree=a", "all"),
    ("within 10 --backend=tr", "trio"),
    ("within 10 -s KI", "KILL"),
    ("within --signal=US", "USR1"),
    ("within -k 1 10 mkfi", "mkfifo"),
]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(("line", "offered"), COMPLETIONS)
def test_completion_in_bash(line: str, offered: str) -> None:
    words = line.replace("=", " = ").split(" ")
    script = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _within; '
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    command = ["bash", "--norc", "-c", script, str(SOURCES["bash"]), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert offered in done.stdout.replace("=", "").split()
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize(("line", "offered"), COMPLETIONS)
def test_completion_in_fish(line: str, offered: str) -> None:
    script = f"source {SOURCES['fish']}; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "-N", "-c", script], capture_output=True, text=True, check=True
    )
    assert offered in re.split(r"[\s=]", done.stdout)


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_completion_for_zsh_can_be_read() -> None:
    subprocess.run(["zsh", "-n", str(SOURCES["zsh"])], check=True)
