"""The schemas of what goes in and out: for any input they say what the code says."""

import json
import re
from typing import Any

import jsonschema_rs
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import InvalidEvent
from payflux.event import rules as event_errors
from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS, decode_event
from payflux.event.rules import is_event_type, is_processor
from payflux.event.timestamps import normal_timestamp
from payflux.exporters.grouped import GROUPED
from payflux.exporters.registry import EXPORTERS, MODES
from payflux.operations import openapi
from payflux.operations import schemas as openapi_schemas
from payflux.operations.checkout import email_of

SCHEMAS = json.loads(json.dumps(openapi_schemas.schemas()))


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Of the schema of this name."""
    return jsonschema_rs.Draft202012Validator(openapi_schemas.ref(name) | {"components": {"schemas": SCHEMAS}})


def accepted(event: dict[str, Any]) -> bool | None:
    """Whether the code takes an event; None when it sees a card number, of which a schema knows nothing."""
    try:
        decode_event(json.dumps(event).encode())
    except InvalidEvent as error:
        return None if error.code == "pan_detected" else False
    return True


TRICKY = st.text(
    st.characters(codec="utf-8", max_codepoint=0x3010)
    | st.sampled_from("\x00\x1f\x7f\x80\x9f\u00a0\ufeff\u2028\u3000"),
    max_size=130,
)
NUMBERS = st.integers(-2, 102) | st.sampled_from([3_600_000, 3_600_001, 10**15, 10**15 + 1, 10**40, -(10**40)])
VALUES: st.SearchStrategy[Any] = (
    TRICKY | NUMBERS | st.sampled_from([0.5, -1.5, None, True, [], {}, "cit", "mit", "CIT", "", " "])
)
MEMBERS = st.sampled_from(EVENT_FIELDS + ADDITIVE_FIELDS + ("unknown",))


@given(st.dictionaries(MEMBERS, VALUES, max_size=3), st.sets(MEMBERS, max_size=2))
def test_the_schema_of_an_event_accepts_what_the_code_accepts(changes: dict[str, Any], left_out: set[str]) -> None:
    """For any event, card numbers aside, both come to the same verdict."""
    event = {name: value for name, value in (openapi.LONGEST | changes).items() if name not in left_out}
    verdict = accepted(event)
    if verdict is not None:
        assert validator("PaymentEvent").is_valid(event) == verdict


def is_by_both(pattern: str, text: str) -> bool:
    """Whether a text matches by Python's expressions and by those of the validator, which agree."""
    by_python = re.search(pattern.removesuffix("$") + r"\Z", text) is not None
    assert jsonschema_rs.Draft202012Validator({"pattern": pattern}).is_valid(text) == by_python
    return by_python


DIGITS = st.integers(0, 99).map("{:02}".format)
YEARS = st.sampled_from(["0000", "0002", "0004", "1900", "2000", "2023", "2024", "2100", "9998", "224"])
OFFSETS = st.sampled_from(["Z", "z", "+00:00", "-23:59", "+24:00", "+01:60", "+0100", ""])
FRACTIONS = st.sampled_from(["", ".1", ".123456789", ".1234567890", ".", ",1"])
STAMPS = st.tuples(
    *(
        YEARS,
        st.just("-"),
        st.integers(0, 13).map("{:02}".format),
        st.just("-"),
        st.integers(0, 32).map("{:02}".format),
    ),
    *(st.sampled_from("Tt _"), st.integers(0, 25).map("{:02}".format), st.just(":"), DIGITS, st.just(":"), DIGITS),
    *(FRACTIONS, OFFSETS, st.sampled_from(["", "", "", "\n", "x"])),
).map("".join)


@given(STAMPS)
def test_the_pattern_of_a_timestamp_is_the_rule(text: str) -> None:
    """Clock, fraction and offset."""
    assert is_by_both(openapi_schemas.TIMESTAMP, text) == (normal_timestamp(text) is not None)


def test_the_pattern_of_a_timestamp_knows_the_calendar() -> None:
    """Every day that a month may seem to have, in years of every kind."""
    pattern = re.compile(openapi_schemas.TIMESTAMP)
    for year in (0, 1, 4, 96, 100, 400, 1900, 2000, 2023, 2024, 2100, 2400, 9996, 9999):
        for month in range(14):
            for day in range(33):
                stamp = f"{year:04}-{month:02}-{day:02}T00:00:00Z"
                assert (pattern.search(stamp) is not None) == (normal_timestamp(stamp) is not None), stamp


def test_the_pattern_of_what_is_not_blank_is_the_rule() -> None:
    """For every character of the Basic Multilingual Plane, by itself and beside a letter."""
    blank, text = re.compile(openapi_schemas.NOT_BLANK), re.compile(openapi_schemas.TEXT)
    for character in map(chr, (*range(0xD800), *range(0xE000, 0x10000))):
        assert (blank.search(character) is not None) == is_event_type(character), ascii(character)
        assert (text.search(f"a{character}b") is not None) == is_event_type(f"a{character}b"), ascii(character)


@given(st.from_regex("[a-z0-9_-]{0,42}") | st.text(max_size=5))
def test_the_pattern_of_a_processor_is_the_rule(text: str) -> None:
    """Of any slug, and of any text."""
    assert is_by_both(openapi_schemas.SLUG, text) == is_processor(text)
    assert f"^{event_errors._SLUG.pattern}$" == openapi_schemas.SLUG
    assert f"^{event_errors._UUID.pattern}$" == openapi_schemas.UUID


@given(st.emails() | st.text(max_size=20) | st.from_regex(r"[A-Za-z.@-]{1,70}"))
def test_the_schema_of_an_email_is_the_rule(email: str) -> None:
    """Of addresses and of what only looks like one."""
    try:
        email_of(json.dumps({"email": email}).encode())
    except InvalidEvent:
        valid = False
    else:
        valid = True
    assert validator("CheckoutRequest").is_valid({"email": email}) == valid


def test_the_status_of_every_exporter_is_described() -> None:
    """Those we bring go by their names, one's own by its module:Class, and nothing else is a destination."""
    status = dict.fromkeys(SCHEMAS["Destination"]["properties"]) | {"enabled": True}
    for mode in (*MODES, "acme.exporters:S3"):
        answer = {
            "enabled": True,
            "export_mode": mode,
            "destinations": dict.fromkeys(MODES.get(mode, [mode]), status),
        }
        validator("ExportHealth").validate(answer)
    assert set(SCHEMAS["ExportHealth"]["properties"]["destinations"]["properties"]) == {*EXPORTERS, *GROUPED}
    for mode, name in (("splunk", "stdout"), ("stdout", "splunk")):
        unheard = {"enabled": True, "export_mode": mode, "destinations": {name: status}}
        assert not validator("ExportHealth").is_valid(unheard)
