"""Reading bodies: what is wanted of them, or a refusal in words."""

from typing import Any

import msgspec
import pytest

from payflux.webhooks import Unreadable
from payflux.webhooks.reading import member, read_json, text, whole


class Shape(msgspec.Struct):
    """A shape."""

    inner: dict[str, int]


def test_what_is_not_of_the_shape_is_refused_by_place() -> None:
    """The place is named, the value and the names of its members are not."""
    decoder = msgspec.json.Decoder(Shape)
    assert read_json(decoder, b'{"inner":{"a":1},"other":[]}').inner == {"a": 1}
    with pytest.raises(Unreadable, match=r"\$\.inner") as caught:
        read_json(decoder, b'{"inner":{"raw_name":"raw_value"}}')
    assert "raw" not in str(caught.value)
    with pytest.raises(Unreadable, match="at the top"):
        read_json(decoder, b"5")
    with pytest.raises(Unreadable, match="not valid JSON"):
        read_json(msgspec.json.Decoder(dict[str, Any]), b'{"inner":' * 100_000)


def test_members_of_whatever_stands_there() -> None:
    """A path that leads nowhere is none; text is text and a number a number, or none."""
    value = {"a": {"b": "c"}, "n": 5, "t": True}
    assert member(value, "a", "b") == "c"
    assert member(value, "a", "b", "c") is None
    assert member(None, "a") is None
    assert (text("x"), text(5), text(None)) == ("x", "", "")
    assert (whole(5), whole(True), whole("5"), whole(5.0)) == (5, None, None, None)
