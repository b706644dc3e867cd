"""Events: control characters and card numbers, in whatever spelling."""

import json
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import ADDITIVE, EVENT, FREE_TEXTS, PAN, PROPERTY, TEXTS, compact, found, refused
from payflux.event.decode import decode_event

# ---- control characters


@pytest.mark.parametrize("name", TEXTS)
def test_every_control_character_is_refused_in_every_string(name: str) -> None:
    """C0, DEL and C1 are refused, raw where JSON allows it and escaped."""
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        value = str((EVENT | ADDITIVE)[name]) + chr(code)
        for ascii_only in (True, False):
            assert (name, "control_character") in found(compact(EVENT | {name: value}, ascii_only=ascii_only))


@PROPERTY
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(FREE_TEXTS))
def test_only_control_characters_are_refused(text: str, name: str) -> None:
    """Any other character is stored as sent, whether it came escaped or raw."""
    for ascii_only in (True, False):
        body = compact(EVENT | {name: text}, ascii_only=ascii_only)
        if any(unicodedata.category(character) == "Cc" for character in text):
            assert found(body) == [(name, "control_character")]
        else:
            assert json.loads(decode_event(body).data)[name] == text


# ---- card numbers


def spellings(pan: str) -> Iterator[str]:
    fours = [pan[index : index + 4] for index in range(0, len(pan), 4)]
    yield from (separator.join(fours) for separator in ("", " ", "-", ".", "/", "_", "\u00a0", "\u2013"))
    yield "".join(chr(0xFF10 + int(digit)) for digit in pan)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pan", [PAN, "5555555555554444", "378282246310005", "6011111111111117", "3566002020360505"])
def test_card_numbers_are_refused_in_every_string(name: str, pan: str) -> None:
    """A card number in any member, however written and escaped, is `pan_detected` and appears nowhere in the error."""
    for value in (text for text in spellings(pan) if name != "geo_bucket" or len(text) <= 20):
        escaped = "".join(f"\\u{ord(character):04x}" for character in value)
        for body in (
            compact(EVENT | {name: value}),
            compact(EVENT | {name: value}, ascii_only=True),
            compact({name: value} | EVENT | {name: value, "unknown": 1}),
            compact(EVENT | {name: "PLACE"}).replace(b"PLACE", escaped.encode()),
        ):
            error = refused(body)
            assert error.code == "pan_detected"
            assert (name, "pan_detected") in [(one.field, one.code) for one in error.errors]
            assert pan[:13] not in repr(error.errors)
            assert value not in repr(error.errors)


def test_card_numbers_are_refused_as_integers() -> None:
    """An American Express number fits into `amount_minor`, and is refused; amounts of that size are not."""
    assert found(compact(EVENT | {"amount_minor": 378282246310005})) == [("amount_minor", "pan_detected")]
    assert (
        b":378282246310006,"
        in decode_event(compact({"currency": "x", **EVENT, "latency_ms": 1, "amount_minor": 378282246310006})).data
    )
    assert ("amount_minor", "pan_detected") in found(compact(EVENT | {"amount_minor": int(PAN)}))


def test_a_card_number_in_an_over_long_value_is_named_too() -> None:
    """The code says what matters more."""
    error = refused(compact(EVENT | {"channel": PAN + " " * 100_000}))
    assert error.code == "pan_detected"
    assert [one.code for one in error.errors] == ["too_long", "pan_detected"]


def test_values_of_neighbouring_members_make_no_card_number() -> None:
    """Half a card number in each of two members is none."""
    halves = {"merchant_id_hash": PAN[:8], "payment_intent_id_hash": PAN[8:], "channel": "\u00e9"}
    for event in (EVENT | halves, EVENT | {"event_id": "41111111-1111-4111-8111-111111111111"}):
        assert decode_event(compact(event)).data == compact(event)
