"""Events: what is accepted and how it is stored, and what is refused member by member."""

import json
import uuid

import pytest

from events import (
    ADDITIVE,
    CANONICAL,
    EVENT,
    FREE_TEXTS,
    NUMBERS,
    PAN,
    REQUIRED_ONLY,
    TEXTS,
    compact,
    found,
    refused,
)
from payflux.event.decode import ADDITIVE_FIELDS, CODES, EVENT_FIELDS, PaymentEvent, StoredEvent, decode_event
from payflux.event.rules import MAX_UUID, NIL_UUID, REQUIRED

# ---- what is accepted


def test_the_members_are_those_of_the_type_in_canonical_order() -> None:
    """The documented names are the struct's fields, in order, and the example holds them all."""
    assert PaymentEvent.__struct_fields__ == EVENT_FIELDS + ADDITIVE_FIELDS
    assert tuple(EVENT) == EVENT_FIELDS
    assert tuple(ADDITIVE) == ADDITIVE_FIELDS


@pytest.mark.parametrize(
    "body",
    [
        CANONICAL,
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, indent=2).encode(),
        compact(dict(reversed(EVENT.items()))),
        b" \r\n\t" + CANONICAL + b"\n",
        CANONICAL.replace(b"stripe", rb"str\u0069pe"),
        CANONICAL.replace(b'"processor":', b'"proc\\u0065ssor" : '),
        compact(EVENT | {"EVENT_ID": "x", "unknown": {"a": [1.5, None, {"b": ":"}]}, "": PAN, "note": "4111 1111"}),
    ],
)
def test_every_spelling_of_an_event_becomes_the_canonical_one(body: bytes) -> None:
    """Order, spaces, escapes and unknown members make no difference to what is stored."""
    event_id = "550e8400-e29b-41d4-a716-446655440000"
    assert decode_event(body) == StoredEvent(CANONICAL, event_id, uuid.UUID(event_id).bytes, "stripe")


def test_defaults_are_filled_in() -> None:
    """An event of the required members alone is stored with all fifteen, and no additive one."""
    stored = json.loads(decode_event(compact(REQUIRED_ONLY)).data)
    assert stored == dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0} | REQUIRED_ONLY
    assert tuple(stored) == EVENT_FIELDS


def test_additive_members_are_stored_only_when_sent() -> None:
    """Each additive member, and all of them in any order, follow the fifteen in canonical order."""
    everything = EVENT | ADDITIVE
    assert decode_event(compact(dict(reversed(everything.items())))).data == compact(everything)
    for name, value in ADDITIVE.items():
        assert decode_event(compact({name: value} | EVENT)).data == compact(EVENT | {name: value})


def test_event_id_is_lower_cased() -> None:
    """One UUID in two letter cases is one event."""
    assert decode_event(compact(EVENT | {"event_id": EVENT["event_id"].upper()})).data == CANONICAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x" * 100) for name in FREE_TEXTS if name != "geo_bucket"),
        *((name, "\U0001f4b3" * 20) for name in FREE_TEXTS),
        *((name, "") for name in FREE_TEXTS),
        *((name, 'quote " backslash \\ /'[:20]) for name in FREE_TEXTS),
        *((name, "caf\u00e9 \u2028") for name in FREE_TEXTS),
        *((name, 0) for name in NUMBERS),
        *NUMBERS.items(),
        ("event_type", " x "),
        ("processor", "0"),
        ("processor", "a-b_c" + "9" * 35),
        ("initiator", "cit"),
    ],
)
def test_values_at_the_limits_are_stored_as_sent(name: str, value: object) -> None:
    """The longest, the shortest, the largest and the least usual value are all kept verbatim."""
    for ascii_only in (True, False):
        stored = decode_event(compact(EVENT | {name: value}, ascii_only=ascii_only))
        assert json.loads(stored.data)[name] == value
        assert decode_event(stored.data) == stored


# ---- what is refused, member by member


WRONG: list[tuple[str, object, str]] = [
    *((name, None, "required") for name in sorted(REQUIRED)),
    *((name, 7, "type") for name in TEXTS),
    *((name, ["x"], "type") for name in TEXTS),
    *((name, {"x": 1}, "type") for name in TEXTS),
    *((name, value, "type") for name in NUMBERS for value in (1.5, -0.1, True, "1", ["1"], {"a": 1})),
    *((name, value, "out_of_range") for name in NUMBERS for value in (-1, NUMBERS[name] + 1, 2**64, 1e300)),
    *((name, "x" * 101, "too_long") for name in FREE_TEXTS),
    ("geo_bucket", "x" * 21, "too_long"),
    ("event_type", "x" * 101, "too_long"),
    *((name, "a\nb", "control_character") for name in FREE_TEXTS),
    *((name, "\ud800", "control_character") for name in FREE_TEXTS),
    *(("event_type", blank, "blank") for blank in ("", " ", "\u00a0", "\u2003\u3000")),
    *(
        ("event_id", text, "invalid_uuid")
        for text in (
            "",
            "not-a-uuid",
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400-e29b-41d4-a716-4466554400",
            "550e8400-e29b-41d4-a716-446655440000a",
            "550e8400-e29b-41d4-a716-44665544000 ",
            " 50e8400-e29b-41d4-a716-446655440000",
            "550e84 00e29b-41d4-a716-44665544 0000"[:36],
            "550e840-0e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a7164-46655440000",
            "550e8400-e29b-41d4-a716--46655440000",
            "550e8400-e29b-41d4-a716-44665544  00",
            "\uff1550e8400-e29b-41d4-a716-446655440000"[:36],
            NIL_UUID,
            MAX_UUID,
            MAX_UUID.upper(),
            MAX_UUID.title(),
        )
    ),
    *(
        ("processor", text, "invalid_processor")
        for text in ("", "Stripe", "-stripe", "_x", "a b", "a.b", "x" * 41, "\u00e9", "stripe\u2028")
    ),
    *(("initiator", text, "invalid_choice") for text in ("", "CIT", "cit ", "merchant")),
]


@pytest.mark.parametrize(("name", "value", "code"), WRONG)
def test_a_wrong_value_is_refused_with_its_code(name: str, value: object, code: str) -> None:
    """One wrong member is one error that names it, whatever the rest and the spelling of the body."""
    for event in (EVENT, REQUIRED_ONLY):
        assert found(compact(event | {name: value}, ascii_only=True)) == [(name, code)]
    error = refused(compact({name: value} | EVENT | {name: value}, ascii_only=True))
    assert error.code == "invalid_event"
    assert error.errors[0].message.startswith(f"{name} is required" if code == "required" else f"{name} must ")


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_required_members_are_required(name: str) -> None:
    """Each required member that is missing is named."""
    assert found(compact({key: value for key, value in EVENT.items() if key != name})) == [(name, "required")]


def test_every_bad_member_is_named_at_once() -> None:
    """An event with many faults gets one answer with all of them, in canonical order."""
    body = {"event_type": " ", "event_id": 5, "processor": "A\x00", "retry_count": -1, "currency": "x" * 101}
    assert found(compact(body)) == [
        ("event_type", "blank"),
        ("event_timestamp", "required"),
        ("event_id", "type"),
        ("processor", "control_character"),
        ("processor", "invalid_processor"),
        ("retry_count", "out_of_range"),
        ("currency", "too_long"),
    ]


def test_the_promised_words_about_event_id() -> None:
    """Scripts look for this text."""
    for value in ("not-a-uuid", "", 5, NIL_UUID):
        assert "event_id must be valid UUID" in str(refused(compact(EVENT | {"event_id": value})))


def test_errors_never_hold_the_value() -> None:
    """What was sent appears in no code and no message."""
    secret = "SECRET\x01" + "z" * 200
    error = refused(compact(dict.fromkeys(EVENT | ADDITIVE, secret), ascii_only=True))
    assert {field for field, _, _ in error.errors} == set(EVENT | ADDITIVE)
    for text in (str(error), repr(error), repr(error.errors), repr(error.__cause__)):
        assert "SECRET" not in text
        assert "zzz" not in text


def test_every_documented_code_occurs() -> None:
    """The table of codes is what the decoder gives, no more and no less."""
    bodies = [compact(EVENT | {name: value}, ascii_only=True) for name, value, _ in WRONG]
    bodies += [b"", b"{}", b'{"a":1,"a":2}', compact(EVENT | {"event_timestamp": "now"})]
    bodies += [compact(EVENT | {"channel": PAN})]
    errors = [refused(body) for body in bodies]
    assert {error.code for error in errors} | {one.code for error in errors for one in error.errors} == set(CODES)
    assert all(CODES.values())
