"""What stands in our own keys and cannot be ours, and what the stream says in its place."""

import re
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import hiredis

from payflux.redis.entries import FIRST, count_of, deliveries_of, ledger_of
from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink
from payflux.redis.replies import text, unavailable
from payflux.redis.script import Script
from payflux.stream.deliveries import Delivery, entry_key

_VALUES, _MEND = Script("values"), Script("mend")
_LAYERS = re.compile(rb"[0-9]{1,9},[3-6](?:,[0-9]{1,15}){4}(?:;[0-9]{1,9},[3-6](?:,[0-9]{1,15}){4})*")
_SEQ = re.compile(rb"[0-9]{1,15}")
SCAN = 1000


class Oddity(NamedTuple):
    """A field of ours that holds what cannot be ours.

    Attributes:
        key: the hash.
        field: of it.
        value: what it holds; empty when it is missing.
        wanted: what it should hold, by the stream; None when it should not be there.
    """

    key: str
    field: str
    value: bytes
    wanted: bytes | None


async def oddities(link: RedisLink, keys: Keys, group: str, now: Callable[[], float] = time.time) -> list[Oddity]:
    """Look for them; changes nothing.

    Args:
        link: the connection.
        keys: of the stream.
        group: whose ledger is looked at.
        now: Unix seconds.

    Raises:
        StreamUnavailable: Redis did not answer, or forbids scripts.
    """
    try:
        state, ledger, entries, newest, place, at_place = await _VALUES.run(
            link, (keys.stream, keys.state, keys.ledger(group)), (group,)
        )
    except hiredis.ReplyError as error:
        raise unavailable(error) from None
    seq, layers = state or (None, None)
    found = _of_ledger(keys.ledger(group), ledger, newest, place, deliveries_of(at_place))
    noted, _ = ledger_of(ledger)
    found += _of_seq(keys.state, seq, layers, deliveries_of(entries), newest, noted.last_seq or 0)
    marked = layers is None and seq is not None and seq != b"0"
    if marked or (layers is not None and not _LAYERS.fullmatch(layers)):
        rebuilt = await _layers(link, keys, int(now()))
        if rebuilt or not marked:
            found.append(Oddity(keys.state, "layers", layers or b"", rebuilt))
    return found


async def mend(link: RedisLink, oddity: Oddity) -> bool:
    """Put one right; False when it has changed since it was looked at. Raises StreamUnavailable."""
    wanted = () if oddity.wanted is None else (oddity.wanted,)
    try:
        return bool(await _MEND.run(link, (oddity.key,), (oddity.field, oddity.value, *wanted)))
    except hiredis.ReplyError as error:
        raise unavailable(error) from None


def _of_seq(  # noqa: PLR0917 - what is held against each other
    key: str, seq: bytes | None, layers: bytes | None, entries: Sequence[Delivery], newest: bytes | None, noted: int
) -> list[Oddity]:
    """The number given last: that of the newest entry, as long as none was deleted behind it."""
    last = _last_number(entries)
    if seq is None and layers is None:
        return []
    known = last or noted
    if seq is None or not _SEQ.fullmatch(seq):
        return [Oddity(key, "seq", seq or b"", b"%d" % known)]
    whole = bool(entries) and entries[0].id == newest
    if last and (count_of(seq) < last or (whole and count_of(seq) > last)):
        return [Oddity(key, "seq", seq, b"%d" % last)]
    return []


def _last_number(entries: Sequence[Delivery]) -> int:
    """The number of the newest entry, newest first; one that goes on from the entry before it is surely ours."""
    numbered = [delivery.seq for delivery in entries if delivery.seq]
    going_on = [later for later, earlier in pairwise(numbered) if later == earlier + 1]
    return next(iter(going_on or numbered), 0)


def _of_ledger(
    key: str, flat: list[bytes], newest: bytes | None, place: bytes | None, at_place: Sequence[Delivery]
) -> list[Oddity]:
    ledger, odd = ledger_of(flat)
    if newest is not None and place is not None and entry_key(ledger.last_id) > entry_key(newest):
        odd["last_id"] = ledger.last_id
    number = at_place[0].seq if at_place else 0
    wanted = {"last_id": place or FIRST, "last_seq": b"%d" % number, "left": b"", "acked": b"%d" % ledger.settled}
    return [Oddity(key, name, value, wanted.get(name, b"0")) for name, value in odd.items()]


async def _layers(link: RedisLink, keys: Keys, now: int) -> bytes | None:
    """The layers as the names of their sets tell them, none of them older than now; None without any set."""
    found: dict[int, tuple[int, int]] = {}
    pattern = re.compile(re.escape(keys.marks) + r"([0-9]{1,9}):([0-9a-f]{3,6})")
    cursor: Any = b"0"
    while True:
        cursor, names = await link.ask("SCAN", cursor, "MATCH", f"{keys.marks}*", "COUNT", SCAN)
        ours = [name for name in map(pattern.fullmatch, map(text, names)) if name]
        sizes = await link.replies([("SCARD", name[0]) for name in ours])
        for name, size in zip(ours, sizes, strict=True):
            _, marks = found.get(int(name[1]), (0, 0))
            found[int(name[1])] = len(name[2]), marks + (size if isinstance(size, int) else 0)
        if cursor == b"0":
            break
    newest = max(found, default=0)
    rows = (
        f"{layer},{digits},{now},{0 if layer == newest else now},{marks},0"
        for layer, (digits, marks) in sorted(found.items())
    )
    return ";".join(rows).encode() or None
