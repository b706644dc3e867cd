"""Arrays of events: what is wrong with one item is for it alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import PROPERTY
from payflux.event.items import items_of_array

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SPOILT = [
    rb'{"a":"\ud800"}',
    rb'["\udc00x"]',
    rb'{"\ud800":1}',
    b'{"a":"\xed\xa0\x80","b":"\\ud83d"}',
    b'{"a":"\xff\\ud83d"}',
    b"NaN",
    b"[-Infinity]",
    b"9" * 5000,
]


@PROPERTY
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_items_are_told_apart(values: list[Any], indent: int | None, ascii_only: bool) -> None:
    """Any array falls into its items; as many as are wanted, each as it was written."""
    body = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    items = items_of_array(body, 100)
    assert [json.loads(item) for item in items] == values
    assert items_of_array(body, 2) == items[:2]
    assert all(item in body for item in items)


@PROPERTY
@given(
    st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3), st.sampled_from(SPOILT), st.sampled_from(["", " \n"])
)
def test_one_spoilt_item_spoils_no_other(before: list[Any], after: list[Any], spoilt: bytes, gap: str) -> None:
    """The others come out as they do without it, and it comes out byte for byte."""
    parts = (
        [json.dumps(value).encode() for value in before] + [spoilt] + [json.dumps(value).encode() for value in after]
    )
    blank = gap.encode()
    body = blank + b"[" + blank + (blank + b"," + blank).join(parts) + blank + b"]" + blank
    assert items_of_array(body, 100) == parts
    assert items_of_array(body, len(before) + 1) == parts[: len(before) + 1]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{}", b"7", b'"x"', b"[", b"]", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[1]x", b"[1]]"),
        *(rb'["\ud800"', rb'["\ud800",]', rb'["\ud800"]x', rb'["\ud800" "x"]', rb'{"a":["\ud800"]}'),
        *(b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\xff\xfe[\x00]\x00", b'["\x01"]'),
    ],
)
def test_what_is_no_array_is_refused(body: bytes) -> None:
    """Where the items cannot be told apart there are none."""
    with pytest.raises(ValueError):
        items_of_array(body, 100)
