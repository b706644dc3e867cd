"""The producer client's events: from what an application gives to one line of JSON with an id and a time."""

import os
import random
import struct
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from payflux.client.firewall import holds_card_number


class CardNumber(ValueError):
    """An event holds a card number: it is neither kept nor sent."""


class _Named(msgspec.Struct):
    event_id: Raw | UnsetType = UNSET
    event_timestamp: Raw | UnsetType = UNSET


_FRONT = b'{"event_id":"%s","event_timestamp":"%s",'
_EMPTY = _FRONT % (b"0" * 36, b"0" * 24)
_ROOM = struct.Struct(f"=xd{len(_EMPTY) - 9}x")
_encode = msgspec.json.Encoder().encode
_room = _ROOM.pack
_names = msgspec.json.Decoder(_Named).decode


def encode(event: Mapping[str, Any] | bytes) -> bytes:
    """An event as it waits, to be `finished` before it goes anywhere.

    It is one line of JSON with `event_id` and `event_timestamp`. When it had neither, there is room for both in front,
    which holds the time: to make an id and write the time costs more than all the rest, and the caller of `send` need
    not wait for that.

    Raises:
        CardNumber: a card number or track data stands anywhere in it.
        Exception: it cannot be encoded, or is no JSON object; of any type, as values may encode themselves.
    """
    if isinstance(event, bytes):
        return _safe(_complete(event))
    if type(event) is not dict:
        event = dict(event)
    if "event_id" in event:
        return _safe(_encode(event if "event_timestamp" in event else {**event, **_missing(False, True)}))
    if "event_timestamp" in event or not event:
        return _safe(_encode({**event, **_missing(True, "event_timestamp" not in event)}))
    return _room(time.time()) + _safe(_encode(event))[1:]


def _safe(body: bytes) -> bytes:
    if holds_card_number(body):
        raise CardNumber
    return body


def finished(event: bytes) -> bytes:
    """An event as one line of JSON; it is as long as it was, and finishing it again changes nothing."""
    if event[0]:
        return event
    [at] = _ROOM.unpack_from(event)
    return _FRONT % (_uuid().encode(), _stamp(at).encode()) + event[len(_EMPTY) :]


def _missing(event_id: bool, timestamp: bool) -> dict[str, str]:  # noqa: FBT001
    members = {}
    if event_id:
        members["event_id"] = _uuid()
    if timestamp:
        members["event_timestamp"] = _stamp(time.time())
    return members


# Three times as fast as the uuid module, which asks the kernel for each; nobody must be unable to guess these.
_random = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def _uuid() -> str:
    """A UUID version 4 (RFC 9562 section 5.4)."""
    number = _random.getrandbits(128)
    digits = f"{number:032x}"
    variant = "89ab"[number >> 62 & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _stamp(at: float) -> str:
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _complete(body: bytes) -> bytes:
    named = _names(body)
    if b"\n" in body or b"\r" in body:
        body = msgspec.json.format(body, indent=-1)
        if b"\n" in body or b"\r" in body:
            raise ValueError("a line break within a string")
    members = _missing(named.event_id is UNSET, named.event_timestamp is UNSET)
    if not members:
        return body
    rest = body.lstrip()[1:].lstrip()
    return _encode(members)[:-1] + (b"" if rest.startswith(b"}") else b",") + rest
