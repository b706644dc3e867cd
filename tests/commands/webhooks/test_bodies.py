"""Files of what processors told: JSON in its forms, and reports as CSV."""

import json
from pathlib import Path

import pytest

from payflux.commands.webhooks.bodies import Body, bodies_of
from payflux.terminal.event_files import LINE_BYTES, EventFile

COLUMNS = ("Psp Reference", "Merchant Account")
HEADER = b"Merchant Account,Psp Reference,Type\n"


def read(path: Path, text: bytes, columns: tuple[str, ...] = COLUMNS) -> tuple[str, list[Body]]:
    """What a file of these bytes holds."""
    file = path / "file"
    file.write_bytes(text)
    with EventFile(str(file)) as opened:
        place, bodies = bodies_of(opened, columns)
        return place, [*bodies]


def test_lines_of_a_report_become_objects(tmp_path: Path) -> None:
    """By column, whatever stands between the cells; a mark at the beginning and blank lines are nothing."""
    for text in (
        b"\xef\xbb\xbf" + HEADER + b'a,"b,\nc",d\n\n',
        HEADER.replace(b",", b"\t") + b'a\t"b,\nc"\td\n',
        HEADER.replace(b",", b";") + b'a;"b,\nc";d',
    ):
        place, (body,) = read(tmp_path, text)
        assert (place, body.number, body.wrong) == ("line", 3, "")
        assert json.loads(body.data) == {"Merchant Account": "a", "Psp Reference": "b,\nc", "Type": "d"}


def test_a_line_that_does_not_fit_is_said_by_number(tmp_path: Path) -> None:
    """With too few cells or too many; the others are read."""
    _, bodies = read(tmp_path, HEADER + b"a,b,c\na,b\na,b,c,d\na,b,c\n")
    assert [(body.number, body.wrong) for body in bodies] == [
        (2, ""),
        (3, "2 cells, where the first line names 3"),
        (4, "4 cells, where the first line names 3"),
        (5, ""),
    ]


def test_a_file_that_is_neither_is_refused(tmp_path: Path) -> None:
    """Before anything is read of it, with the columns that were looked for."""
    with pytest.raises(ValueError, match="CSV whose first line names Psp Reference, Merchant Account"):
        read(tmp_path, b"id,amount\n1,2\n")


def test_json_is_read_as_before(tmp_path: Path) -> None:
    """Lines, an array, or lines of a processor without reports; one that is too long is said to be."""
    assert read(tmp_path, b'{"a":1}\n{"b":2}\n') == ("line", [Body(1, b'{"a":1}'), Body(2, b'{"b":2}')])
    assert read(tmp_path, b'[{"a":1}]') == ("item", [Body(1, b'{"a":1}')])
    assert read(tmp_path, b"id,amount\n1,2\n", ()) == ("line", [Body(1, b"id,amount"), Body(2, b"1,2")])
    _, (first, second) = read(tmp_path, b'{"a":1}\n"' + b"x" * LINE_BYTES + b'"\n')
    assert first.wrong == ""
    assert second == Body(2, b"", "longer than 1 MiB, which no webhook is")
