"""Files of events are read as people have them, in bounded memory; what cannot be read says what was expected."""

import gzip
import io
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from payflux.terminal.event_files import LINE_BYTES, EventFile, FileLine

TEXT = b'{"a":1}\r\n\n  {"b":2}\n{"c":3}'
LINES = [FileLine(1, b'{"a":1}'), FileLine(3, b'{"b":2}'), FileLine(4, b'{"c":3}')]
COMPRESSIONS = [bytes, gzip.compress, zstandard.compress]


def lines_of(data: bytes, path: Path) -> list[FileLine]:
    path.write_bytes(data)
    with EventFile(str(path)) as file:
        return list(file.lines())


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_are_the_same_however_the_file_is_packed(
    compress: Callable[[bytes], bytes], mark: bytes, tmp_path: Path
) -> None:
    """Plain, gzip and zstd, by what is in the file and not by its name; a byte-order mark is no part of an event."""
    assert lines_of(compress(mark + TEXT), tmp_path / "events") == LINES


def test_several_compressed_files_in_one_are_read_to_the_end(tmp_path: Path) -> None:
    """As log shippers append them."""
    for compress in (gzip.compress, zstandard.compress):
        assert len(lines_of(compress(TEXT + b"\n") * 3, tmp_path / "events")) == 9


def test_stdin_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`zcat | payflux …` and `payflux … < events.jsonl.gz`."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT))))
    with EventFile("-") as file:
        assert file.begins() == b"{"
        assert list(file.lines()) == LINES


def test_a_line_that_can_be_no_event_is_told_and_skipped(tmp_path: Path) -> None:
    """It does not take its length in memory, and the lines behind it keep their numbers."""
    whole = b"x" * LINE_BYTES
    found = lines_of(whole + b"\n" + whole * 3 + b"x\n" + b"{}\n" + whole + b"xx", tmp_path / "events")
    assert found == [FileLine(1, whole), FileLine(2, None), FileLine(3, b"{}"), FileLine(4, None)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_with_the_way_out(encoding: str, tmp_path: Path) -> None:
    """As spreadsheets and PowerShell write it, with a mark and without."""
    with pytest.raises(ValueError, match="UTF-8, this is UTF-16"):
        lines_of('{"a":1}\n'.encode(encoding), tmp_path / "events")


@pytest.mark.parametrize("compress", COMPRESSIONS[1:])
def test_a_broken_compressed_file_is_an_error_of_the_file(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Cut off in the middle: what was expected is said."""
    data = compress(random.Random(1).randbytes(60_000).hex().encode())
    with pytest.raises(ValueError, match="a whole compressed file"):
        lines_of(data[: len(data) // 2], tmp_path / "events")


def test_an_array_is_read_whole_up_to_a_limit(tmp_path: Path) -> None:
    """What does not fit is not read into memory."""
    path = tmp_path / "events"
    path.write_bytes(b" \n[1, 2]")
    with EventFile(str(path)) as file:
        assert file.begins() == b"["
        assert file.read(8) == b" \n[1, 2]"
    with EventFile(str(path)) as file, pytest.raises(ValueError, match="at most 7 bytes"):
        file.read(7)


@given(
    data=st.binary(max_size=200).filter(lambda data: 0 not in data[:2] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"))
)
def test_no_bytes_are_lost_or_made_up(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lines are those of the file, whatever is in it."""
    plain = data.removeprefix(b"\xef\xbb\xbf")
    wanted = [FileLine(n, line.strip()) for n, line in enumerate(plain.split(b"\n"), 1) if line.strip()]
    if data[:2] != b"\x1f\x8b" and data[:4] != b"\x28\xb5\x2f\xfd":
        assert lines_of(data, tmp_path_factory.mktemp("files") / "events") == wanted
