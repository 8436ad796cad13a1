"""What pytest loads: the plugin, or a refusal where pluggy is too old for it.

pytest loads this wherever the package is installed, so an error here would end every run
of pytest, even of tests that have nothing to do with the plugin.
"""

from __future__ import annotations

from importlib.metadata import version

import pytest

_pluggy = version("pluggy")

# `hookimpl(wrapper=True)`, which the plugin needs, came with 1.2.
if tuple(map(int, _pluggy.split(".")[:2])) >= (1, 2):
    pytest_plugins = ("within.testing._pytest",)
else:

    def pytest_configure(config: pytest.Config) -> None:
        config.addinivalue_line("markers", "virtual_time: needs pluggy 1.2 or newer.")

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Refuse the tests that would run in real time (V6)."""
        for item in items:
            if item.get_closest_marker("virtual_time") is not None:
                raise pytest.UsageError(
                    f"{item.nodeid}: virtual_time needs pluggy 1.2 or newer, and this is "
                    f"pluggy {_pluggy}"
                )
