"""Entries of a stream: what can be read from anybody's, their ids, and where a range begins and ends."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.exporters.fanout import EVERY_LINE
from payflux.redis.address import parse_url
from payflux.redis.dial import connect
from payflux.redis.entries import (
    COUNTER_MAX,
    deliveries_of,
    delivery_of,
    id_after,
    ledger_of,
    newest_id,
    parse_position,
    settled_text,
)
from payflux.stream.deliveries import Delivery, Ledger, entry_key
from servers import Server

NAMES = st.sampled_from([b"data", b"seq", b"lost_to"]) | st.binary(max_size=8)
VALUES = st.sampled_from([b"7", b"0", b"-1", b"1e3", b"9" * 16, b"9" * 17, b"9" * 5000, "\u0663".encode()]) | st.binary(
    max_size=30
)


def number_of(text: bytes | None) -> int:
    """A number as the append script writes them, said in another way."""
    digits = text or b""
    return int(digits) if 1 <= len(digits) <= 16 and set(digits) <= set(b"0123456789") else 0


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5), st.integers(1, 9))
def test_anybodys_entry_is_read_as_far_as_it_goes(pairs: list[tuple[bytes, bytes]], attempts: int) -> None:
    """Any names and values, in any order, twice or missing: never an error, and what is ours is understood."""
    found = delivery_of(b"5-1", [word for pair in pairs for word in pair], attempts)
    held = dict(pairs)
    assert (found.id, found.attempts, found.gone) == (b"5-1", attempts, False)
    assert found.data == held.get(b"data")
    assert (found.seq, found.lost_to) == (number_of(held.get(b"seq")), number_of(held.get(b"lost_to")))


@given(st.binary(max_size=30), VALUES)
def test_our_own_entries_are_read_alike(data: bytes, seq: bytes) -> None:
    """The short way for the fields that every entry of ours has tells what the long one does."""
    short = delivery_of(b"5-1", [b"data", data, b"seq", seq])
    assert short == delivery_of(b"5-1", [b"data", data, b"seq", seq, b"more", b""])
    assert deliveries_of([[b"5-1", [b"data", data, b"seq", seq]]]) == [short]


def test_a_deleted_entry_is_gone() -> None:
    """It has an id and nothing else."""
    assert delivery_of(b"5-1", None, 3) == Delivery(b"5-1", 0, None, 3, gone=True)


async def test_the_newest_id_outlives_its_entry(server: Server) -> None:
    """None without a stream; then the highest ever given, though it was deleted."""
    link = await connect(parse_url(server.url), "test")
    assert await newest_id(link, "s") is None
    entry_id = server.client.xadd("s", {"a": "b"}, id="7-3")
    server.client.xdel("s", entry_id)
    assert await newest_id(link, "s") == b"7-3"
    link.close()


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(-23 * 60, 23 * 60),
)
def test_a_time_is_the_same_moment_in_any_offset(naive: datetime, minutes: int) -> None:
    """To the millisecond, rounded down; the end of a range takes in the whole of it."""
    moment = naive.replace(tzinfo=UTC)
    ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    text = moment.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert parse_position(text, end=False) == b"%d-0" % ms
    assert parse_position(text, end=True) == b"%d-%d" % (ms, COUNTER_MAX)


@given(st.integers(0, COUNTER_MAX), st.integers(0, COUNTER_MAX))
def test_ids_are_taken_as_they_are(milliseconds: int, counter: int) -> None:
    """An id is its own position at both ends, and the one after it is the next."""
    text = f"{milliseconds}-{counter}"
    assert parse_position(text, end=False) == parse_position(text, end=True) == text.encode()
    assert entry_key(id_after(text.encode())) == (
        (milliseconds, counter + 1) if counter < COUNTER_MAX else (milliseconds + 1, 0)
    )


@pytest.mark.parametrize(("text", "seconds"), [("-30s", 30), ("-15m", 900), ("-2h", 7200), ("-1d", 86_400)])
def test_a_time_may_be_told_from_now(text: str, seconds: int) -> None:
    """How long ago, in one unit; what lies before 1970 is the beginning."""
    before = time.time_ns() // 1_000_000
    position, _ = entry_key(parse_position(text, end=False))
    assert before <= position + seconds * 1000 <= time.time_ns() // 1_000_000
    assert parse_position("-99999999d", end=False) == b"0-0"


@given(st.text(max_size=40))
def test_anything_else_is_refused(text: str) -> None:
    """A text is a position Redis can read, or refused with what was expected."""
    try:
        position = parse_position(text, end=False)
    except ValueError:
        with pytest.raises(ValueError, match="a time such as"):
            parse_position(text, end=True)
    else:
        assert max(entry_key(position)) <= COUNTER_MAX


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("last_id", value) for value in (b"", b"x", b"-5", b"5", b"1-2 ", b"99999999999999999999-0", b"\xff")),
        *(("last_seq", value) for value in (b"", b"-5", b"1.5", b"1e3", b"9" * 16)),
        *(("left", value) for value in (b"x", b"1-1  2-2", b" 1-1", b"-5")),
        *((name, value) for name in ("acked", "settled", "life") for value in (b"", b"many", b"-5", b"9" * 16)),
        ("acked", b"11"),
    ],
)
def test_what_is_odd_in_a_ledger_is_left_out(field: str, value: bytes) -> None:
    """And told; what is right beside it stays."""
    right = {
        b"owner": b"\xff",
        b"acked": b"3",
        b"settled": b"2",
        b"last_id": b"18446744073709551615-7",
        b"last_seq": b"10",
        b"left": b"1-1 2-2",
        b"at": b"1",
    }
    flat = [one for pair in right.items() for one in pair]
    ledger, odd = ledger_of(flat)
    assert odd == {}
    assert ledger == Ledger("�", 3, 2, b"18446744073709551615-7", 10, (b"1-1", b"2-2"))
    spoilt, odd = ledger_of([one for pair in (right | {field.encode(): value}).items() for one in pair])
    assert odd == {field: value}
    attribute, new = ("unacked", ()) if field == "left" else (field, getattr(Ledger(), field))
    assert getattr(spoilt, attribute) == (ledger.settled if value == b"11" else new)
    assert ledger_of([]) == (Ledger(), {})


def test_a_ledger_without_a_destination_is_ours() -> None:
    """All of its lines are done with: that is a number like another, however large."""
    kept = settled_text(Ledger(owner="one", settled=EVERY_LINE))
    assert ledger_of([b"settled", kept, b"acked", b"5", b"last_seq", b"5"])[1] == {}
