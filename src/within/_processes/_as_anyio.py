"""Registers our process as one of anyio's (P17).

This module is imported only when a process is opened, because it imports anyio's classes.
"""

from __future__ import annotations

from anyio import abc

from ._process import Process

abc.Process.register(Process)
