"""How much is tried: `make hostile` sets more rounds, each with inputs of its own."""

import os
import random

import pytest

ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "1"))


@pytest.fixture(params=range(ROUNDS), ids=lambda number: f"round {number}")
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance, the same for a round each time."""
    number: int = request.param
    return random.Random(number)
