"""The modules of the suite that Windows cannot run, and why.

The children of the tests in POSIX modules are written for ``sh``. Their rules are
checked on Windows by the modules in this folder.
"""

POSIX = "its children are commands of POSIX"
SIGNALS = "it sends signals of POSIX"
UVLOOP = "it is about uvloop"
PACKAGES = "it needs a package that is not needed to test Windows"
SOURCE = "it checks the source tree, which is the same on every system"

NOT_HERE = {
    "test_alarm_on_loops.py": UVLOOP,
    "test_backends.py": UVLOOP,
    "test_cancellation.py": POSIX,
    "test_cancellation_signals.py": SIGNALS,
    "test_census.py": POSIX,
    "test_command_line.py": POSIX,
    "test_command_line_processes.py": POSIX,
    "test_command_line_signals.py": SIGNALS,
    "test_command_line_terminal.py": POSIX,
    "test_command_line_texts.py": SOURCE,
    "test_coreutils.py": POSIX,
    "test_dev.py": SOURCE,
    "test_doc_blocks.py": SOURCE,
    "test_dialogue.py": POSIX,
    "test_dialogue_both.py": POSIX,
    "test_docs.py": SOURCE,
    "test_examples.py": SOURCE,
    "test_guard.py": POSIX,
    "test_hostile.py": POSIX,
    "test_hostile_children.py": POSIX,
    "test_hostile_descriptors.py": POSIX,
    "test_hostile_orphans.py": POSIX,
    "test_hostile_starts.py": POSIX,
    "test_hostile_stops.py": POSIX,
    "test_httpx.py": PACKAGES,
    "test_interrupted_blocks.py": SIGNALS,
    "test_interrupted_exits.py": SIGNALS,
    "test_interrupted_runs.py": SIGNALS,
    "test_interrupted_starts.py": SIGNALS,
    "test_migration.py": PACKAGES,
    "test_mutation_survivors.py": SOURCE,
    "test_mutations.py": SOURCE,
    "test_neighbouring_groups.py": PACKAGES,
    "test_neighbours.py": PACKAGES,
    "test_packaging.py": SOURCE,
    "test_pictures.py": SOURCE,
    "test_polling.py": POSIX,
    "test_processes.py": POSIX,
    "test_punctuality.py": UVLOOP,
    "test_pytest_neighbours.py": PACKAGES,
    "test_release.py": SOURCE,
    "test_run.py": POSIX,
    "test_send_signal.py": SIGNALS,
    "test_stopping.py": POSIX,
    "test_stopping_plan.py": POSIX,
    "test_streams.py": POSIX,
    "test_streams_limits.py": POSIX,
    "test_streams_lines.py": POSIX,
    "test_streams_pipelines.py": POSIX,
    "test_streams_rest.py": POSIX,
    "test_text.py": POSIX,
    "test_tree.py": POSIX,
    "test_typing.py": SOURCE,
    "test_virtual_time_at_rest.py": SIGNALS,
}
