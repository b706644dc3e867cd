"""The events of files as people write them: lines, arrays, one event on several lines."""

import json
from pathlib import Path

import pytest

from payflux.terminal.event_files import LINE_BYTES, EventFile, FileLine
from payflux.terminal.event_items import ARRAY_BYTES, events_of


def read(path: Path, content: bytes) -> tuple[str, list[FileLine]]:
    """What a file with this content holds."""
    path.write_bytes(content)
    with EventFile(str(path)) as file:
        place, events = events_of(file)
        return place, list(events)


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b"\n \n{}\n", [3]),
        (b'{"a":1}\r\n\r\n{"b":2}', [1, 3]),
        (b"{broken\n{}\n", [1, 2]),
        (b"{}\n{broken", [1, 2]),
        (b'\xef\xbb\xbf{"a":1}\n{}', [1, 2]),
    ],
)
def test_lines_have_their_numbers(tmp_path: Path, content: bytes, numbers: list[int]) -> None:
    """Blank ones count and are no events; a broken one is an event, and its number is told."""
    place, lines = read(tmp_path / "e", content)
    assert (place, [line.number for line in lines]) == ("line", numbers)


def test_an_event_may_have_several_lines(tmp_path: Path) -> None:
    """Pretty-printed, as editors leave it: it is one, and comes on one line."""
    event = {"a": {"b": [1, 2]}, "c": "x\ny"}
    place, items = read(tmp_path / "e", json.dumps(event, indent=2).encode())
    assert place == "item"
    [(number, data)] = items
    assert (number, json.loads(data or b"")) == (1, event)
    assert b"\n" not in (data or b"")


def test_an_array_has_items(tmp_path: Path) -> None:
    """Numbered from 1, each on one line; one that no node takes for its length is told apart."""
    long = json.dumps("x" * LINE_BYTES).encode()
    place, items = read(tmp_path / "e", b' [ {"a":\r\n1},\n2, ' + long + b"]\n")
    assert (place, items) == ("item", [FileLine(1, b'{"a":  1}'), FileLine(2, b"2"), FileLine(3, None)])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "at least one event"),
        (b" \n\n", "at least one event"),
        (b"[]", "at least one event"),
        (b"[1,", "expected a JSON array"),
        (b"[" + b" " * ARRAY_BYTES + b"]", "send longer files as JSON lines"),
    ],
    ids=["nothing", "blank", "empty", "broken", "large"],
)
def test_what_holds_no_events_is_refused(tmp_path: Path, content: bytes, named: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match=named):
        read(tmp_path / "e", content)


def test_lines_are_read_when_asked_for(tmp_path: Path) -> None:
    """A first line that is an event is enough to know what the rest is: nothing else has been read."""
    path = tmp_path / "e"
    path.write_bytes(b"{}\n" * 100_000)
    with EventFile(str(path)) as file:
        _, lines = events_of(file)
        assert next(lines) == FileLine(1, b"{}")
        assert len(file.read(1_000_000)) > 200_000
