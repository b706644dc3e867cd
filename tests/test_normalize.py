"""The library: the same events as a node makes of the same bodies."""

import json

import msgspec
import pytest

from payflux.normalize import Unreadable, normalize
from receiving import HASH_KEY, Receiver, sample, signed


def test_it_makes_the_events_of_a_node() -> None:
    """Byte for byte, with what their failures mean beside them."""
    body = sample("stripe", "charge.failed")
    receiver = Receiver("stripe")
    receiver.send(signed("stripe", body))
    (found,) = normalize("stripe", msgspec.json.encode(body), HASH_KEY)
    assert [found.data] == receiver.stream.entries
    assert found[1:] == ("insufficient_funds", "later", "issuer", False, "")


def test_reasons_of_ones_own_files_are_believed() -> None:
    """Nobody stands between; and a success has no meaning of a failure."""
    refused = msgspec.json.encode(sample("adyen", "AUTHORISATION.acquirer_error"))
    (found,) = normalize("adyen", refused, HASH_KEY)
    assert (found.category, found.counts_against_processor) == ("processor_technical", True)
    assert json.loads(found.data)["failure_origin"] == "processor"
    (paid,) = normalize("adyen", msgspec.json.encode(sample("adyen", "AUTHORISATION")), HASH_KEY)
    assert (paid.category, paid.counts_against_processor) == (None, None)


def test_what_cannot_be_read_says_why() -> None:
    """In words, whatever it is."""
    with pytest.raises(Unreadable, match="not valid JSON"):
        normalize("stripe", b"{", HASH_KEY)
    with pytest.raises(ValueError, match="expected one of stripe"):
        normalize("acme", b"{}", HASH_KEY)
