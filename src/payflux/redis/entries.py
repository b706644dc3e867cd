"""Entries of a stream as Redis gives them: their ids, their order in time, and what one of them holds."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import hiredis

from payflux.event.timestamps import normal_timestamp
from payflux.redis.link import RedisLink, unavailable
from payflux.stream.deliveries import Delivery, entry_key

FIRST = b"0-0"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTER_MAX = 2**64 - 1
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
WANTED = "a time such as 2026-01-09T12:00:00Z or -15m, or an entry id such as 1767957855596-0"


def parse_position(text: str, *, end: bool) -> bytes:
    """Where a range of entries begins or ends.

    Args:
        text: an entry id, its milliseconds alone (12 digits or more), a time in RFC 3339, or how long ago by the clock
            of this machine: `-30s`, `-15m`, `-2h`, `-1d`.
        end: it is the end of the range: without a counter it then takes in the whole millisecond.

    Returns:
        A whole entry id; both ends of a range are inclusive.

    Raises:
        ValueError: it is none of these; the text completes "expected …".
    """
    if re.fullmatch(r"[0-9]{1,20}-[0-9]{1,20}", text):
        milliseconds, counter = map(int, text.split("-"))
    else:
        milliseconds, counter = _milliseconds(text), COUNTER_MAX if end else 0
    if max(milliseconds, counter) > COUNTER_MAX:
        raise ValueError(WANTED)
    return b"%d-%d" % (milliseconds, counter)


def _milliseconds(text: str) -> int:
    if re.fullmatch(r"[0-9]{12,20}", text):
        return int(text)
    if ago := re.fullmatch(r"-([0-9]{1,9})([smhd])", text):
        return max(0, int(time.time() * 1000) - int(ago[1]) * UNITS[ago[2]] * 1000)
    stamp = normal_timestamp(text)
    if stamp is None or text[:4] < "1970":
        raise ValueError(WANTED)
    return max(0, (datetime.fromisoformat(stamp) - EPOCH) // timedelta(milliseconds=1))


def id_after(entry_id: bytes) -> bytes:
    """The smallest id above this one."""
    milliseconds, counter = entry_key(entry_id)
    return b"%d-%d" % ((milliseconds, counter + 1) if counter < COUNTER_MAX else (milliseconds + 1, 0))


def delivery_of(entry_id: bytes, fields: list[bytes]) -> Delivery:
    """An entry as a delivery; anybody may have written to the stream, so its fields may be anything."""
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return Delivery(
        entry_id, _count(named.get(b"seq")), named.get(b"data"), attempts=1, lost_to=_count(named.get(b"lost_to"))
    )


def _count(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 17 else 0


async def ask(link: RedisLink, *command: str | bytes | int, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
    """Send one command and wait for its reply.

    Raises:
        StreamUnavailable: no reply in time, no connection, or an error reply; `code` says which.
    """
    try:
        return await link.call(*command, timeout=timeout)
    except hiredis.ReplyError as error:
        raise unavailable(error) from None


async def newest_id(link: RedisLink, key: str) -> bytes:
    """The highest id a stream ever gave, `0-0` where there is no stream; raises StreamUnavailable."""
    if await ask(link, "EXISTS", key) == 0:
        return FIRST
    info = await ask(link, "XINFO", "STREAM", key)
    newest: bytes = dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"]
    return newest
