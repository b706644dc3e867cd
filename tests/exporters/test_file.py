"""Export to a file: whole lines alone, whatever fails; what is refused and found before it is used."""

from pathlib import Path

import pytest

from exporting import LINES, limited
from payflux.errors import ExportFailed
from payflux.exporters.file import DESTINATION, FileExporter
from payflux.settings import Values, load


def test_a_file_is_made_at_the_first_write_and_private(tmp_path: Path) -> None:
    """A consumer that stands by touches nothing; what is made can be read by owner and group alone."""
    path = tmp_path / "events.jsonl"
    exporter = FileExporter(str(path))
    exporter.close()
    assert not path.exists()
    exporter.write(LINES[0])
    assert path.stat().st_mode & 0o027 == 0
    exporter.close()
    exporter.close()
    exporter.write(LINES[1])  # after a close it opens again
    exporter.close()
    assert path.read_bytes() == LINES[0] + LINES[1]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}\n', b'{"a":1}\n{"b":2}\n'),
        (b'{"a":1}\n{"b"', b'{"a":1}\n'),
        (b'{"a"', b""),
        (b'{"a":1}\n' * 200_000 + b'{"torn', b'{"a":1}\n' * 200_000),
    ],
    ids=["empty", "one line", "two lines", "torn", "only torn", "torn, large"],
)
def test_a_torn_tail_is_cut_off(before: bytes, kept: bytes, tmp_path: Path) -> None:
    """What a crash left behind the last whole line goes, and every whole line stays."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(before)
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    exporter.close()
    assert path.read_bytes() == kept + LINES[0]


def test_a_file_moved_away_is_written_until_the_reopen(tmp_path: Path) -> None:
    """As logrotate does it: rename, SIGHUP, and from then on a new file."""
    path, rotated = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    path.rename(rotated)
    exporter.write(LINES[1])
    assert not path.exists()
    exporter.reopen()
    exporter.write(LINES[2])
    exporter.close()
    assert (rotated.read_bytes(), path.read_bytes()) == (LINES[0] + LINES[1], LINES[2])


def test_a_full_disk_has_a_reason_of_its_own() -> None:
    """`disk_full`, with nothing written, each time it is tried."""
    exporter = FileExporter("/dev/full")
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(LINES[0])
        assert (caught.value.code, caught.value.written) == ("disk_full", 0)
    exporter.close()


@pytest.mark.parametrize("limit", [0, 9, 10, 15, 99, 100])
def test_a_batch_that_does_not_fit_is_taken_back_to_its_last_line(limit: int, tmp_path: Path) -> None:
    """Of ten lines of ten bytes those that fit whole stay and are counted; afterwards the rest goes on behind them."""
    steps = f"allow({limit})\nwrite(b'123456789\\n' * 10)\nallow(1000)\nwrite(b'abc\\n')"
    written, raised = limited(tmp_path / "events.jsonl", "file", steps)
    whole = limit // 10 * 10
    assert written == b"123456789\n" * (whole // 10) + b"abc\n"
    assert raised == ([] if limit == 100 else [f"write {whole}"])


@pytest.mark.parametrize("kind", ["directory", "missing directory"])
def test_a_path_that_cannot_be_opened_is_tried_again(kind: str, tmp_path: Path) -> None:
    """`open` each time, until the path can be opened; nothing of it stays open."""
    path = tmp_path / "sub" / "events.jsonl"
    if kind == "directory":
        path.mkdir(parents=True)
    exporter = FileExporter(str(path))
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(LINES[0])
        assert (caught.value.code, caught.value.written) == ("open", 0)
        assert exporter.reopen() is False  # nothing is open
    if kind == "directory":
        path.rmdir()
    else:
        path.parent.mkdir()
    exporter.write(LINES[0])
    exporter.close()
    assert path.read_bytes() == LINES[0]


def test_a_file_not_written_yet_is_left_alone(tmp_path: Path) -> None:
    """A hang-up makes a standby node neither open nor mend the file another node is writing."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"whole\nhalf a li")
    exporter = FileExporter(str(path))
    assert exporter.reopen() is False
    assert path.read_bytes() == b"whole\nhalf a li"


def given(path: Path | None) -> Values:
    """The settings of the exporter."""
    return load(DESTINATION.settings, {"PAYFLUX_EXPORT_FILE": str(path)} if path is not None else {})


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file that is there or can be made is fine; a directory, a missing one and none at all are not."""
    (tmp_path / "there").touch()
    for path in (tmp_path / "there", tmp_path / "new"):
        assert list(DESTINATION.refuse(given(path))) == []
    for path in (tmp_path, tmp_path / "missing" / "new"):
        assert list(DESTINATION.refuse(given(path))) == [
            f"PAYFLUX_EXPORT_FILE={str(path)!r}: expected a file this user can write"
        ]
    assert list(DESTINATION.refuse(given(None))) == ["PAYFLUX_EXPORT_FILE: expected a path"]


def test_a_look_leaves_no_trace(tmp_path: Path) -> None:
    """Space is found without making the file, and what stands in one is left alone."""
    path = tmp_path / "events.jsonl"
    (found,) = DESTINATION.look(given(path))
    assert found.check == "export_file"
    assert str(path) in found.reason
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(LINES[0])
    assert len(list(DESTINATION.look(given(path)))) == 1
    assert path.read_bytes() == LINES[0]
    (full,) = DESTINATION.look(given(Path("/dev/full")))
    assert (full.verdict, "No space left" in full.reason) == ("fail", True)
