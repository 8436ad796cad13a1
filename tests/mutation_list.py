"""The ways in which `./dev mutate` breaks the timeouts."""

from __future__ import annotations

from mutation_type import Mutation
from mutations_of_alarms import ALARMS
from mutations_of_blocks import EDGES
from mutations_of_cancelling import PURSUITS
from mutations_of_ends import ENDS
from mutations_of_looks import LOOKS
from mutations_of_surroundings import SURROUNDINGS
from mutations_of_whose import WHOSE

__all__ = ["MUTATIONS", "Mutation"]

MUTATIONS = [*ALARMS, *EDGES, *ENDS, *SURROUNDINGS, *WHOSE, *PURSUITS, *LOOKS]
