"""The ways in which `./dev mutate` breaks the timeouts."""

from __future__ import annotations

from mutation_type import Mutation
from mutations_of_alarms import ALARMS
from mutations_of_blocks import EDGES, REST
from mutations_of_cancelling import PURSUITS
from mutations_of_looks import LOOKS

__all__ = ["MUTATIONS", "Mutation"]

MUTATIONS = [*ALARMS, *EDGES, *REST, *PURSUITS, *LOOKS]
