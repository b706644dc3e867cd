"""What each member of an event must be, what is brought into normal form, and everything wrong with what is refused.

The decoder in `payflux.event.decode` only knows that an event is not plainly right; `examine` reads it again, slowly,
and names every bad member at once, or mends what is unambiguous. Both use the limits and the predicates below.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from payflux.client.card_numbers import contains_pan, is_harmless_hash, with_pan
from payflux.errors import FieldError, InvalidEvent
from payflux.event.timestamps import normal_timestamp

TEXT_LIMIT = 100
GEO_LIMIT = 20
RETRY_LIMIT = 100
LATENCY_LIMIT_MS = 3_600_000
AMOUNT_LIMIT = 10**15
"""In minor units. Amounts are never negative: that a payment is a refund is said by `event_type`."""

CODES = {
    "invalid_json": "The body is not one JSON object in valid UTF-8.",
    "duplicate_member": "A member is sent more than once.",
    "invalid_event": "One or more members are wrong; `errors` names each.",
    "pan_detected": "A value looks like a card number or card track data. Nothing was stored.",
    "required": "A required member is missing or `null`.",
    "type": "The value has another JSON type than the member.",
    "too_long": "The string has more characters than the member may have.",
    "out_of_range": "The number is below or above what the member may be.",
    "blank": "The string is empty or holds white space alone.",
    "control_character": "The string holds a control character (Unicode category Cc) or half a surrogate pair.",
    "invalid_uuid": "The value is no UUID in the form 8-4-4-4-12, or it is the nil or the max UUID.",
    "invalid_timestamp": "The value is no RFC 3339 date and time with an offset, in the years 1 to 9999.",
    "invalid_processor": "The value is no slug `[a-z0-9][a-z0-9_-]{0,39}`.",
    "invalid_choice": "The value is none of those the member may have.",
}
"""Every code of a refused event and of its members, with its meaning."""

REQUIRED = frozenset({"event_type", "event_timestamp", "event_id", "processor"})
EVENT_FIELDS = (
    "event_type",
    "event_timestamp",
    "event_id",
    "merchant_id_hash",
    "payment_intent_id_hash",
    "processor",
    "failure_category",
    "retry_count",
    "geo_bucket",
    "amount_bucket",
    "system_source",
    "payment_method_bucket",
    "channel",
    "retry_result",
    "failure_origin",
)
"""The members every stored event has, in canonical order."""

ADDITIVE_FIELDS = (
    "payment_method_fingerprint_hash",
    "card_network",
    "network_response_code",
    "network_advice_code",
    "currency",
    "amount_minor",
    "initiator",
    "latency_ms",
    "issuer_country",
    "processor_event_id",
)
"""The members stored only when sent, in canonical order, after `EVENT_FIELDS`."""

_NUMBERS = {"retry_count": RETRY_LIMIT, "amount_minor": AMOUNT_LIMIT, "latency_ms": LATENCY_LIMIT_MS}
_TEXT_LIMITS = {"geo_bucket": GEO_LIMIT}

NIL_UUID = "00000000-0000-0000-0000-000000000000"
MAX_UUID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""Both are what an id looks like that was never set: taken for ids, they would make all such events one."""

BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UUID = re.compile(
    r"(?!0{8}(?:-0{4}){3}-0{12}|[Ff]{8}(?:-[Ff]{4}){3}-[Ff]{12})[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SCANNED = 256  # characters of an over-long string in which card numbers are still looked for
NAMED = 3  # members with card numbers that are named


@lru_cache(maxsize=1024)
def is_event_type(text: str) -> bool:
    """Whether a text is fit to be an event's type: not blank, no control character, no card number.

    Remembered, as there are few of them.
    """
    return bool(text.strip()) and not has_control(text) and not contains_pan(text)


@lru_cache(maxsize=1024)
def is_processor(text: str) -> bool:
    """Whether a text is the slug of a payment processor: any, not one of a fixed list."""
    return _SLUG.fullmatch(text) is not None


def has_control(text: str) -> bool:
    """Whether a text holds a control character (C0, DEL, C1) or half a surrogate pair."""
    return not text.isprintable() and _CONTROL.search(text) is not None


_Form = tuple[str, Callable[[str], object], str]
_FORMS: dict[str, _Form] = {
    "event_type": ("blank", str.strip, "a string that is not blank"),
    "event_timestamp": (
        "invalid_timestamp",
        normal_timestamp,
        "an RFC 3339 date and time with offset, such as 2026-01-09T12:00:00Z",
    ),
    "event_id": (
        "invalid_uuid",
        _UUID.fullmatch,
        "valid UUID, such as 550e8400-e29b-41d4-a716-446655440000, and neither all 0 nor all f",
    ),
    "processor": ("invalid_processor", is_processor, "a slug: 1 to 40 of a-z, 0-9, _ and -, first a letter or digit"),
    "initiator": ("invalid_choice", {"cit", "mit"}.__contains__, "cit or mit"),
}
"""By member: the code when the predicate is false, the predicate, and what the member must be."""


def examine(body: bytes, with_cards: Collection[str] | None = None) -> dict[str, Any]:
    """Read a body slowly: what of it is stored, or everything that is wrong with it.

    Args:
        body: what the client sent as one event.
        with_cards: some members that hold card numbers, all that are to be named; None where that is not known.

    Returns:
        The members of an event that were sent, `null` counting as not sent, each in the form it is stored in.

    Raises:
        InvalidEvent: `invalid_json` or `duplicate_member` when the body cannot be read, else one error for each thing
            wrong, in canonical order, and the code `pan_detected` if any of them has it, else `invalid_event`.
    """
    members = _normalised(parse(body))
    if with_cards is None:
        with_cards = {*islice(_with_cards(members), NAMED)}
    if errors := tuple(_field_errors(members, with_cards)):
        found_pan = any(error.code == "pan_detected" for error in errors)
        raise InvalidEvent("pan_detected" if found_pan else "invalid_event", errors)
    return members


def _normalised(members: dict[str, Any]) -> dict[str, Any]:
    """Those members that are an event's and not null, those that can be brought into normal form in it."""
    sent = {name: members[name] for name in EVENT_FIELDS + ADDITIVE_FIELDS if members.get(name) is not None}
    for name in _NUMBERS.keys() & sent.keys():
        if isinstance(sent[name], float) and sent[name].is_integer():
            sent[name] = int(sent[name])
    if isinstance(stamp := sent.get("event_timestamp"), str) and len(stamp) <= TEXT_LIMIT:
        sent["event_timestamp"] = normal_timestamp(stamp) or stamp
    if isinstance(event_id := sent.get("event_id"), str):
        sent["event_id"] = event_id.lower()
    return sent


def parse(body: bytes, what: str = "the event") -> dict[str, Any]:
    """Read a body strictly: one JSON object in UTF-8, no duplicate member at any depth, no NaN or Infinity.

    A byte order mark before it is skipped: some editors and spreadsheets write one.

    Args:
        body: what the client sent as one event.
        what: what it is called in words; an event may be a body, a line or an item of an array.

    Returns:
        Its members. Integers of more than 20 digits lose their end; they are out of every range either way.

    Raises:
        InvalidEvent: with the code `invalid_json` or `duplicate_member`.
    """
    if body[:2] in _OTHER_BOMS or b"\0" in body[:4]:
        raise unreadable(f"{what} is not UTF-8: it looks like UTF-16 or UTF-32; send it in UTF-8")
    try:
        members = _PARSER.decode(body.removeprefix(BOM).decode())
    except UnicodeDecodeError:
        raise unreadable(f"{what} is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" at")  # Python's own fixed words, never a part of the body
        raise unreadable(f"{what} is not valid JSON: {reason} at character {error.pos}") from None
    except ValueError:
        raise unreadable(f"{what} is not valid JSON: NaN and Infinity are no JSON numbers") from None
    except RecursionError:
        raise unreadable(f"{what} is nested too deeply") from None
    if not isinstance(members, dict):
        raise unreadable(f"{what} must be a JSON object")
    return members


def unreadable(message: str) -> InvalidEvent:
    """The error to raise for a body that is not one JSON object."""
    return InvalidEvent("invalid_json", (FieldError("", "invalid_json", message),))


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _whole(digits: str) -> int:
    return int(digits[:21])  # Python refuses to read thousands of digits


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    shown = name if _SHOWABLE_NAME.fullmatch(name) and not contains_pan(name) else ""
    message = f"{shown or 'a member'} is sent more than once"
    raise InvalidEvent("duplicate_member", (FieldError(shown, "duplicate_member", message),))


_PARSER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_int=_whole)


def _field_errors(members: dict[str, Any], with_cards: Collection[str]) -> Iterator[FieldError]:
    for name in EVENT_FIELDS + ADDITIVE_FIELDS:
        if name not in members:
            if name in REQUIRED:
                yield FieldError(name, "required", f"{name} is required")
        elif name in _NUMBERS:
            yield from _number_errors(name, members[name])
        elif isinstance(members[name], str):
            yield from _text_errors(name, members[name])
        else:
            wanted = _FORMS[name][2] if name in _FORMS else "a string"
            yield FieldError(name, "type", f"{name} must be {wanted}, sent as a JSON string")
        if name in with_cards:
            message = (
                f"{name} must not hold a card number or track data; a reference that only looks like one: hash it,"
            )
            yield FieldError(name, "pan_detected", f"{message} or put letters before it")


def _with_cards(members: dict[str, Any]) -> Iterator[str]:
    """The members whose values, of the type they must have, hold what must never be stored."""
    return with_pan(
        {
            name: str(value)[:_SCANNED]
            for name, value in members.items()
            if type(value) is (int if name in _NUMBERS else str) and not is_harmless_hash(name, value)
        }
    )


def _number_errors(name: str, value: object) -> Iterator[FieldError]:
    high = _NUMBERS[name]
    message = f"{name} must be a whole number from 0 to {high}"
    if type(value) is not int:
        yield FieldError(name, "type", message)
        return
    if not 0 <= value <= high:
        yield FieldError(name, "out_of_range", message)


def _text_errors(name: str, value: str) -> Iterator[FieldError]:
    limit = _TEXT_LIMITS.get(name, TEXT_LIMIT)
    if len(value) > limit:
        yield FieldError(name, "too_long", f"{name} must have at most {limit} characters")
    if has_control(value):
        yield FieldError(name, "control_character", f"{name} must not hold control characters")
    if name in _FORMS:
        code, is_valid, wanted = _FORMS[name]
        if not is_valid(value):
            yield FieldError(name, code, f"{name} must be {wanted}")
