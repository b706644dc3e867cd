"""Timestamps: every spelling that is unambiguous becomes one form, the others are refused."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import EVENT, PROPERTY, REQUIRED_ONLY, compact, refused
from payflux.event.decode import decode_event
from payflux.event.timestamps import normal_timestamp

NORMAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")


def stored(members: dict[str, Any]) -> dict[str, Any]:
    """The members an event is stored with."""
    kept: dict[str, Any] = json.loads(decode_event(compact(members)).data)
    return kept


# ---- timestamps


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-01-09T12:00:00Z", "2026-01-09T12:00:00Z"),
        ("2026-01-09T12:00:00.100000Z", "2026-01-09T12:00:00.100000Z"),
        ("2026-01-09t12:00:00z", "2026-01-09T12:00:00Z"),
        ("2026-01-09T12:00Z", "2026-01-09T12:00:00Z"),
        ("2026-01-09T12:00+02:00", "2026-01-09T10:00:00Z"),
        ("2026-01-09T12:00:00.123456789Z", "2026-01-09T12:00:00.123456Z"),
        ("2026-01-09T12:00:00.9999999999999999z", "2026-01-09T12:00:00.999999Z"),
        ("2026-01-09T12:00:00.5+23:59", "2026-01-08T12:01:00.5Z"),
        ("2024-02-29T00:15:30-23:59", "2024-03-01T00:14:30Z"),
        ("2026-01-09T12:00:00+00:00", "2026-01-09T12:00:00Z"),
        ("2026-01-09T12:00:00-00:00", "2026-01-09T12:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_timestamps_are_stored_in_one_form(sent: str, kept: str) -> None:
    """UTC with seconds, at most six digits of fraction and `Z`, whatever of RFC 3339 was sent."""
    for event in (EVENT, REQUIRED_ONLY, dict(reversed(EVENT.items())), EVENT | {"geo_bucket": None, "x": ":"}):
        assert stored(event | {"event_timestamp": sent})["event_timestamp"] == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-09",
        "2026-01-09T12:00:00",
        "2026-01-09T12:00",
        "2026-01-09T12Z",
        "2026-01-09 12:00:00Z",
        "2026-01-09 12:00:00+00:00",
        "2026-01-09T12:00:00.Z",
        "2026-01-09T12:00.5Z",
        "2026-01-09T12:00:00,1Z",
        "2026-01-09T12:00:00+0100",
        "2026-01-09T12:00:00+0000",
        "2026-01-09T12:00:00+01",
        "2026-01-09T12:00:00+24:00",
        "2026-01-09T12:00:00+01:60",
        "2026-01-09T12:00:00ZZ",
        "2026-01-09T12:00:00Z ",
        "2026-01-09T12:00:00Z\n",
        " 2026-01-09T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-10T12:00:00Z",
        "2026-01-09T24:00:00Z",
        "2026-01-09T12:60:00Z",
        "2016-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-W02-5T12:00:00Z",
        "20260109T120000Z",
        "+2026-01-09T12:00:00Z",
        "\uff12026-01-09T12:00:00Z",
        "2026-01-09T12:00:0\u0660Z",
        "2026-01-09\u017f12:00:00Z",
        "1767957855596",
        "2026-01-09T12:00:00." + "1" * 100 + "Z",
    ],
)
def test_other_timestamps_are_refused(text: str) -> None:
    """What RFC 3339, the calendar or a year of four digits does not know is refused, and what is wanted shown."""
    for _ in range(2):
        error = refused(compact(EVENT | {"event_timestamp": text}, ascii_only=True))
        assert {one.field for one in error.errors} == {"event_timestamp"}
        assert ("such as 2026-01-09T12:00:00Z" in str(error)) or len(text) > 100


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@PROPERTY
@given(st.datetimes(), OFFSETS, st.text("0123456789", max_size=8), st.booleans())
def test_the_moment_stays_what_datetime_reads(moment: datetime, offset: timezone, more: str, small: bool) -> None:
    """What is stored is the moment Python reads in what was sent; only what no year from 1 to 9999 holds is refused."""
    text = moment.replace(tzinfo=offset).isoformat()
    if moment.microsecond:  # more digits than a microsecond has
        text = text[:26] + more + text[26:]
    normal = normal_timestamp(text.lower() if small else text)
    try:
        read = datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        assert normal is None
    else:
        assert normal is not None
        assert NORMAL.fullmatch(normal)
        assert datetime.fromisoformat(normal) == read
        assert normal_timestamp(normal) == normal
    assert normal_timestamp(moment.isoformat()) is None


@PROPERTY
@given(st.datetimes(), OFFSETS)
def test_seconds_may_be_missing(moment: datetime, offset: timezone) -> None:
    """Without seconds it is the minute's first one."""
    whole = moment.replace(second=0, microsecond=0, tzinfo=offset)
    assert normal_timestamp(whole.isoformat(timespec="minutes")) == normal_timestamp(whole.isoformat())
