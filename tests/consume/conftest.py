"""A stream in memory, and its clock."""

import pytest

from consumer_parts import Clock
from payflux.testing import MemoryStream


@pytest.fixture
def clock() -> Clock:
    """Of the stream."""
    return Clock()


@pytest.fixture
def stream(clock: Clock) -> MemoryStream:
    """Whose ids follow the clock."""
    return MemoryStream(now=clock)
