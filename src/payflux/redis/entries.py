"""Entries of a stream as Redis gives them: their ids, their order in time, and what one of them holds."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import hiredis

from payflux.event.timestamps import normal_timestamp
from payflux.redis.link import RedisLink
from payflux.redis.replies import named, text, unavailable
from payflux.stream.deliveries import Delivery, Ledger, entry_key

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


def delivery_of(entry_id: bytes, fields: list[bytes] | None, attempts: int = 1) -> Delivery:
    """An entry as a delivery; anybody may have written to the stream, so its fields may be anything.

    Args:
        entry_id: its id.
        fields: names and values in turn; None when the entry was deleted.
        attempts: how often it was delivered.
    """
    if fields is None:
        return Delivery(entry_id, 0, None, attempts, gone=True)
    if len(fields) == 4 and fields[0] == b"data" and fields[2] == b"seq":  # each of ours: no dict, no further call
        number = fields[3]
        return Delivery(entry_id, int(number) if number.isdigit() and len(number) < 17 else 0, fields[1], attempts)
    found = named(fields)
    seq, lost_to = count_of(found.get(b"seq", b"")), count_of(found.get(b"lost_to", b""))
    return Delivery(entry_id, seq, found.get(b"data"), attempts, lost_to)


def deliveries_of(entries: list[Any]) -> list[Delivery]:
    """Entries as deliveries, as a command for one stream lists them."""
    return [delivery_of(entry_id, fields) for entry_id, fields in entries]


def count_of(text: bytes) -> int:
    """A number as PayFlux writes them, up to 16 digits; 0 for everything else."""
    return int(text) if text.isdigit() and len(text) < 17 else 0


async def newest_id(link: RedisLink, key: str) -> bytes | None:
    """The highest id a stream ever gave, None where there is no stream; raises StreamUnavailable."""
    try:
        info = await link.call("XINFO", "STREAM", key)
    except hiredis.ReplyError as error:
        if "no such key" in str(error):
            return None
        raise unavailable(error) from None
    newest: bytes = named(info)[b"last-generated-id"]
    return newest


def ledger_of(flat: list[bytes]) -> tuple[Ledger, dict[str, bytes]]:
    """A ledger as its hash lists it; anybody may have written there.

    Args:
        flat: fields and values in turn; a field that is missing was not noted yet.

    Returns:
        The ledger, and the fields that cannot be ours, which are left as in a new one.
    """
    found = {text(name): value for name, value in named(flat).items()}
    odd = {name: found[name] for name, ours in _OURS.items() if name in found and not ours.fullmatch(found[name])}
    done, _, in_doubt = (b"" if "settled" in odd else found.get("settled", b"")).partition(b" ")
    found["settled"] = done
    acked, settled, last_seq, life = (
        0 if name in odd else count_of(found.get(name, b"")) for name in ("acked", "settled", "last_seq", "life")
    )
    if acked > max(settled, last_seq) and "last_seq" not in odd:  # more than there ever were
        odd["acked"], acked = found["acked"], settled
    ledger = Ledger(
        owner=text(found.get("owner", b"")),
        acked=acked,
        settled=settled,
        last_id=FIRST if "last_id" in odd else found.get("last_id", FIRST),
        last_seq=last_seq,
        unacked=() if "left" in odd else tuple(found.get("left", b"").split()),
        in_doubt=in_doubt,
        life=life,
    )
    return ledger, odd


def settled_text(ledger: Ledger) -> bytes:
    """How many events are settled, and the numbers of those in doubt: one field, as both change in every step."""
    return b"%d %b" % (ledger.settled, ledger.in_doubt) if ledger.in_doubt else b"%d" % ledger.settled


_PART = rb"(?:[0-9]{1,19}|18446744073709551615)"  # of an id, which has 64 bits
_NUMBER, _ID = rb"[0-9]{1,15}", rb"%b-%b" % (_PART, _PART)
_OURS = {
    "acked": re.compile(_NUMBER),
    "settled": re.compile(rb"%b(?: %b-%b)*" % (_NUMBER, _NUMBER, _NUMBER)),
    "last_seq": re.compile(_NUMBER),
    "life": re.compile(_NUMBER),
    "last_id": re.compile(_ID),
    "left": re.compile(rb"(?:%b(?: %b)*)?" % (_ID, _ID)),
}
