"""What the search for card numbers costs at worst: bounded for any text, as its benchmark shows for the worst known."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.card_numbers import (
    DECODINGS_OF_AN_EVENT,
    FREE_TEXTS,
    HOSTILE,
    PLAIN,
    hostile,
    identifiers,
    seconds,
    worst,
)
from payflux.event.rules import TEXT_LIMIT

LIMIT = 6
"""Times a plain event's CPU a byte; the benchmark finds up to 3.7, the rest is for a machine that does other work."""

PIECES = st.one_of(
    st.sampled_from(sorted(HOSTILE.values())), st.text("0124596 -./%()ABDGx^;=", min_size=1, max_size=20)
)


@settings(max_examples=25)
@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(0, 3))
def test_no_text_costs_more_than_some_times_a_plain_event(pieces: list[str], cut: int) -> None:
    """Valid or not, whatever it is made of: CPU for each byte, beside a plain event's in the same moment."""
    body = hostile("".join(pieces))
    body = body[: len(body) - cut]
    plain, found = seconds(PLAIN, 30), seconds(body, 7)
    assert found / len(body) <= LIMIT * DECODINGS_OF_AN_EVENT * plain / len(PLAIN)


BODIES = {
    "numbers": b'{"x":[' + b"1," * 5000,
    "objects": PLAIN[:-1] + b',"x":[' + b'{"a":0},' * 2000 + b'{}],"event_type":"a"}',
    "members": PLAIN[:-1]
    + b",".join(b',"a%d":0' % number for number in range(1000)).replace(b",,", b",")
    + b',"a1":0}',
    "depth": b'{"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "a long text": PLAIN.replace(b"checkout_api", b"4-" * 5000),
    "escapes": PLAIN[:-1] + b',"x":"' + b"\\u00e9" * 2000,
}
"""What is no event, and costs most to refuse."""


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_is_no_event_costs_no_more_for_each_byte(body: bytes) -> None:
    """Three times a plain event at most, on a machine that does nothing else; here twice that."""
    plain, found = seconds(PLAIN, 30), seconds(body, 7)
    assert found / len(body) <= 2 * 3 * DECODINGS_OF_AN_EVENT * plain / len(PLAIN)


def test_what_is_no_card_is_made_of_each_kind() -> None:
    """The kinds of identifiers whose false alarms the documentation tells are what they are called."""
    made = {kind: make() for kind, make in identifiers(random.Random(1)).items()}
    assert len(made["hexadecimal, 64 characters"]) == 64
    assert made["decimal hash of 64 bits"].isdigit()
    assert len(made["decimal reference of 16 digits"]) == 16


def test_the_search_for_worse_texts_finds_one_that_an_event_may_hold() -> None:
    """It ends with a text of a permitted length and what it costs, and every member that may hold it does."""
    text, found = worst(random.Random(1), 0.1)
    assert 0 < len(text) <= TEXT_LIMIT
    assert found > 0
    event = json.loads(hostile(text))
    assert {len(event[name]) for name in FREE_TEXTS} == {TEXT_LIMIT}
