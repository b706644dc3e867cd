"""The client's copy of the rule about card numbers."""

from pathlib import Path

import pytest

import payflux.client
import payflux.event


@pytest.mark.parametrize("module", ["card_numbers", "card_ranges", "digit_groups"])
def test_the_client_and_the_node_refuse_the_same(module: str) -> None:
    """The client imports nothing of ours, so it has the same files: what the node learns, the client knows."""
    copy, original = (Path(room.__path__[0]) / f"{module}.py" for room in (payflux.client, payflux.event))
    assert copy.read_text() == original.read_text()
