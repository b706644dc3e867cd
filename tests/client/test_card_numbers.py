"""The client's copy of the rule about card numbers."""

from pathlib import Path

from payflux.client import card_numbers
from payflux.event import card_numbers as original


def test_the_client_and_the_node_refuse_the_same() -> None:
    """The client imports nothing of ours, so it has the same file: what the node learns, the client knows."""
    assert Path(card_numbers.__file__).read_text() == Path(original.__file__).read_text()
