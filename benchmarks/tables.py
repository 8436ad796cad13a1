"""Two tables, of time limits and of child processes, measured on this machine.

    python benchmarks/tables.py [--markdown] [--json FILE] [--rounds N]

They show what each way to limit time, and each way to run a child process, does in
awkward situations. Every cell is measured when the program runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parts import table_processes, table_timeouts
from parts.environment import versions
from parts.table import as_data, as_markdown, as_text

if TYPE_CHECKING:
    from parts.table import Table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write data")
    parser.add_argument(
        "--rounds", type=int, default=51, metavar="N", help="for timed cells"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: give 1 or more")

    found_versions = versions()
    print(", ".join(f"{name} {found}" for name, found in found_versions.items()))
    as_lines = as_markdown if options.markdown else as_text
    tables: dict[str, Table] = {}
    for title, measure in {
        "time limits": lambda: table_timeouts.measure(options.rounds),
        "child processes": table_processes.measure,
    }.items():
        tables[title] = measure()
        print(f"\n{as_lines(tables[title])}", end="", flush=True)
    if options.json is not None:
        data = {title: as_data(table) for title, table in tables.items()}
        text = json.dumps(
            {"versions": found_versions, **data}, indent=2, ensure_ascii=False
        )
        options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
