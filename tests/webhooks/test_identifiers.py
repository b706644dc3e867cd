"""Identifiers: keyed hashes, and ids of events that stay what they are."""

import hmac
import uuid

from hypothesis import given
from hypothesis import strategies as st

from payflux.client.card_numbers import contains_pan
from payflux.event.decode import decode_event
from payflux.event.rules import TEXT_LIMIT
from payflux.webhooks.identifiers import _NAMESPACE, Hasher, event_uid, spelt
from receiving import HASH_KEY


def test_a_hash_names_its_key_and_depends_on_it() -> None:
    """The same id under another key is another hash, behind another key id; no id has no hash."""
    one, other = Hasher(HASH_KEY), Hasher("another key of hashes")
    hashed, anew = one.within("stripe"), other.within("stripe")
    assert hashed("cus_1") == one.within("stripe")("cus_1") != anew("cus_1")
    assert hashed("cus_1").partition(":")[0] == one.within("adyen")("x").partition(":")[0]
    assert hashed("cus_1").partition(":")[0] != anew("cus_1").partition(":")[0]
    assert hashed("") == ""


@given(st.text(max_size=100), st.text(min_size=1))
def test_the_hash_is_the_standards(key: str, identifier: str) -> None:
    """HMAC-SHA-256 as the standard library makes it, whatever the length of the key."""
    secret, text = key.encode(errors="replace"), f"stripe\x1f{identifier}".encode(errors="replace")
    expected = hmac.new(secret, text, "sha256").hexdigest()
    assert Hasher(key).within("stripe")(identifier).partition(":")[2] == expected[:32]


def test_an_id_is_hashed_within_what_it_is_unique_in() -> None:
    """Order 7 of one account is not order 7 of another, and no two parts run together."""
    within = Hasher(HASH_KEY).within
    assert len({within("p", "a")("7"), within("p", "b")("7"), within("p")("a7"), within("pa")("7")}) == 4


@given(st.text(), st.text(min_size=1))
def test_a_hash_fits_into_an_event(key: str, identifier: str) -> None:
    """Whatever is hashed, half a surrogate pair included; and it never looks like a card."""
    found = Hasher(key).within("stripe")(identifier)
    assert 0 < len(found) <= TEXT_LIMIT
    assert not contains_pan(found)
    if len(identifier) > 16:
        assert identifier not in found


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1))
def test_an_event_id_is_a_uuid_of_version_five(reference: list[str]) -> None:
    """As the standard library makes it, and one that an event may have."""
    found = spelt(event_uid("stripe", reference))
    expected = uuid.uuid5(uuid.UUID(bytes=_NAMESPACE), "\x1f".join(["stripe", *reference]))
    assert found == str(expected)
    event = b'{"event_type":"x","event_timestamp":"2026-01-09T12:00:00Z","event_id":"%b","processor":"stripe"}'
    assert decode_event(event % found.encode()).event_id == found


def test_event_ids_never_change() -> None:
    """A new version must not take yesterday's webhooks, sent again, for new ones."""
    assert spelt(event_uid("stripe", ("charge", "ch_1", "failed", ""))) == "3764bb2c-741a-55ca-987f-dea0cbffea08"
