"""The event: its type, and the one place where what a producer sent becomes what is stored.

Every accepted request passes through `decode_event`, so the valid path does each thing once and leaves all explaining
and mending to `payflux.event.rules`.
"""

from collections.abc import Collection
from itertools import islice
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from payflux.client.card_numbers import is_harmless_hash, may_contain_pan, with_pan
from payflux.event.rules import ADDITIVE_FIELDS as ADDITIVE_FIELDS
from payflux.event.rules import (
    AMOUNT_LIMIT,
    BOM,
    GEO_LIMIT,
    LATENCY_LIMIT_MS,
    MAX_UUID,
    NAMED,
    NIL_UUID,
    RETRY_LIMIT,
    TEXT_LIMIT,
    examine,
    has_control,
    is_event_type,
    is_processor,
    parse,
    unreadable,
)
from payflux.event.rules import CODES as CODES
from payflux.event.rules import EVENT_FIELDS as EVENT_FIELDS
from payflux.event.timestamps import normal_timestamp

_Text = Annotated[str, Meta(max_length=TEXT_LIMIT)]


class PaymentEvent(msgspec.Struct, gc=False, kw_only=True):
    """A payment event, schema `payment_exhaust` version 1, its members in canonical order.

    The type alone checks JSON types, lengths and ranges; only `decode_event` checks everything.
    """

    event_type: _Text
    event_timestamp: _Text
    event_id: _Text
    merchant_id_hash: _Text = ""
    payment_intent_id_hash: _Text = ""
    processor: _Text
    failure_category: _Text = ""
    retry_count: Annotated[int, Meta(ge=0, le=RETRY_LIMIT)] = 0
    geo_bucket: Annotated[str, Meta(max_length=GEO_LIMIT)] = ""
    amount_bucket: _Text = ""
    system_source: _Text = ""
    payment_method_bucket: _Text = ""
    channel: _Text = ""
    retry_result: _Text = ""
    failure_origin: _Text = ""

    payment_method_fingerprint_hash: _Text | UnsetType = UNSET
    card_network: _Text | UnsetType = UNSET
    network_response_code: _Text | UnsetType = UNSET
    network_advice_code: _Text | UnsetType = UNSET
    currency: _Text | UnsetType = UNSET
    amount_minor: Annotated[int, Meta(ge=0, le=AMOUNT_LIMIT)] | UnsetType = UNSET
    initiator: Literal["cit", "mit"] | UnsetType = UNSET
    latency_ms: Annotated[int, Meta(ge=0, le=LATENCY_LIMIT_MS)] | UnsetType = UNSET
    issuer_country: _Text | UnsetType = UNSET
    processor_event_id: _Text | UnsetType = UNSET


class StoredEvent(msgspec.Struct, gc=False, frozen=True):
    """A valid event as ingestion hands it on.

    Attributes:
        data: the canonical JSON.
        event_id: the event's UUID in lower case.
        uid: the same as 16 bytes.
        processor: the payment processor's slug.
    """

    data: bytes
    event_id: str
    uid: bytes
    processor: str


_decode = msgspec.json.Decoder(PaymentEvent).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_unhex = bytes.fromhex
_BACKSLASH = 0x5C
_NIL, _MAX = bytes(16), b"\xff" * 16
_HEAD = len('{"event_type":"","event_timestamp":"","event_id":""') + 36
_JUDGED = PaymentEvent.__struct_fields__[3:]
_columns = attrgetter("event_id", "event_type", "event_timestamp", "processor")


def decode_event(body: bytes) -> StoredEvent:
    """Validate one event and bring it into canonical form.

    Args:
        body: JSON as the producer sent it.

    Returns:
        The event, fit to be stored.

    Raises:
        InvalidEvent: naming everything that is wrong with it; see `payflux.event.rules.examine`.
    """
    try:
        event = _decode(body)
        event_id = event.event_id
        uid = _unhex(event_id.replace("-", ""))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _mended(body)
    sent = event.event_timestamp
    stamp = normal_timestamp(sent)
    if not (
        # Four dashes in place leave 32 characters, which are 16 bytes only if all of them are hexadecimal digits.
        len(uid) == 16
        and len(event_id) == 36
        and event_id[8:24:5] == "----"
        and (uid[0] % 255 or _NIL < uid < _MAX)  # only what begins with 0 or 255 can be one of the two
        and stamp
        and is_processor(event.processor)
        and is_event_type(event.event_type)
    ):
        return _mended(body)
    if stamp is not sent:
        event.event_timestamp = stamp
    if event_id != (lower := event_id.lower()):
        event.event_id = event_id = lower
    data = _encode(event)
    # The first three members are judged; the screen would take many a UUID for a card. Escapes only make them longer.
    judged = _HEAD + len(event.event_type) + len(stamp)
    if may_contain_pan(data[judged:]) and (unfit := _unfit(event)) is not None:
        return _mended(body, unfit)
    if data != body and not _is_surely_strict(body, data, sent, stamp):
        parse(body)
    return StoredEvent(data, event_id, uid, event.processor)


def _mended(body: bytes, with_cards: Collection[str] | None = None) -> StoredEvent:
    """The event in a body that is not plainly right, if all that is wrong can be put right; else its refusal."""
    event = PaymentEvent(**examine(body, with_cards))
    try:
        _decode_members(
            body.removeprefix(BOM)
        )  # half a surrogate pair in a member that is not ours, nesting at the limit
    except (msgspec.DecodeError, RecursionError):
        raise unreadable("the event is not valid JSON") from None
    return StoredEvent(_encode(event), event.event_id, _unhex(event.event_id.replace("-", "")), event.processor)


def decode_events(bodies: list[bytes]) -> list[StoredEvent] | None:
    """Do what `decode_event` does for many at once, each step for all of them: from eight on that costs less.

    Args:
        bodies: JSON as producers sent it, one event each; at least one.

    Returns:
        The events in order, up to the first that holds what must not be stored; None unless each is otherwise plainly
        valid and already canonical. Ask `decode_event` of those not returned, or of all.
    """
    try:
        first = _decode(bodies[0])
        if _encode(first) != bodies[0] or normal_timestamp(first.event_timestamp) != first.event_timestamp:
            return None  # whoever sends one event so sends all of them so: do not do all the work twice
        events = [*map(_decode, bodies)]
        data = [*map(_encode, events)]
        if data != bodies:
            return None
        ids, types, stamps, processors = zip(*map(_columns, events), strict=True)
        joined = "".join(ids)
        uids = _unhex(joined.replace("-", ""))
        distinct = [*{*stamps}]
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not (
        # As above: with four dashes in place in each, so many bytes are only possible without any other character.
        len(uids) == 16 * len(ids)
        and {*map(len, ids)} == {36}
        and joined[8::36] + joined[13::36] + joined[18::36] + joined[23::36] == "-" * (4 * len(ids))
        and joined == joined.lower()
        and NIL_UUID not in joined
        and MAX_UUID not in joined
        and [*map(normal_timestamp, distinct)] == distinct
        and all(map(is_processor, {*processors}))
        and all(map(is_event_type, {*types}))
    ):
        return None
    judged = [one[_HEAD + len(kind) + len(stamp) :] for one, kind, stamp in zip(data, types, stamps, strict=True)]
    uid = [uids[at : at + 16] for at in range(0, len(uids), 16)]
    stored = [*map(StoredEvent, data, ids, uid, processors)]
    if may_contain_pan(b"x".join(judged)):
        for index, (one, event) in enumerate(zip(judged, events, strict=True)):
            if may_contain_pan(one) and _unfit(event) is not None:
                return stored[:index]
    return stored


def _is_surely_strict(body: bytes, data: bytes, sent: str, stamp: str) -> bool:
    """Whether `body` is certainly valid UTF-8 without duplicate members; False means that only `parse` can tell.

    In JSON without escapes every colon follows a member's name or stands in a string. So there are at least as many
    as distinct members and colons in the stored values (the timestamp's alone, or all), and exactly as many only if
    no member comes twice. The timestamp may have been sent with more colons or fewer than it is stored with.

    Args:
        body: as it was sent, without a byte order mark.
        data: as it is stored.
        sent: its timestamp as it was sent.
        stamp: its timestamp as it is stored.
    """
    if _BACKSLASH in body:
        return False
    try:
        body.decode()
        members = len(_decode_members(body))
    except (UnicodeDecodeError, RecursionError):
        return False
    in_strings = body.count(b":") - members
    in_stamp = sent.count(":")
    return in_strings == in_stamp or in_strings == data.count(b":") - data.count(b'":') - stamp.count(":") + in_stamp


def _unfit(event: PaymentEvent) -> list[str] | None:
    """Which members after the first three hold what must never be stored: card numbers, or control characters.

    Returns:
        None when none does, else the names of the first with card numbers.
    """
    values: tuple[Any, ...] = msgspec.structs.astuple(event)
    texts = {
        name: str(value)
        for name, value in zip(_JUDGED, values[3:], strict=True)
        if value is not UNSET and value and not is_harmless_hash(name, value)
    }
    found = [*islice(with_pan(texts), NAMED)]
    return found if found or has_control("".join(texts.values())) else None
