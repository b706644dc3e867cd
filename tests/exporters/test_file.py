"""Export to a file: whole lines alone, whatever fails; what is refused and found before it is used."""

import json
import os
from pathlib import Path

import pytest

from events import CANONICAL
from exporting import LINES, limited, unprivileged
from payflux.errors import ExportFailed
from payflux.exporters.file import DESTINATION, FileExporter
from payflux.settings import Values, load

HEAD = b'{"event_type":"payment_failed","event_timestamp":"2026-01-09T12:00:00Z","event_id":"550e8400-e29b'


def line(seq: int, ms: int | None = None) -> bytes:
    """A line as the consumer makes them."""
    entry = ms or 1_767_957_855_000 + seq
    return CANONICAL[:-1] + b',"stream_message_id":"%d-0","seq":%d,"schema_version":1}\n' % (entry, seq)


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
        (line(1) + line(2)[:-1], line(1) + line(2)),
        (line(1) + line(2)[:-20], line(1)),
        (b'{"a":1}\n' + HEAD, b'{"a":1}\n'),
        (HEAD, b""),
        (line(1) * 3000 + HEAD, line(1) * 3000),
        (line(1) + b'{"ev', line(1)),
        (line(1) + bytes(700), line(1)),
        (line(1) + HEAD + bytes(300), line(1)),
        (b'{"a":1}\n{"ev', b'{"a":1}\n{"ev\n'),
        (b'{"a":1}\n{"b"', b'{"a":1}\n{"b"\n'),
        (b'{"a":1}', b'{"a":1}\n'),
        (line(1) + b"# a note", line(1) + b"# a note\n"),
        (b"no newline at all", b"no newline at all\n"),
        (CANONICAL, CANONICAL + b"\n"),
        (b"x" * (3 << 20), b"x" * (3 << 20) + b"\n"),
        (b"\xff\xfe\x00", b"\xff\xfe\x00\n"),
    ],
    ids=[
        *("empty", "one line", "two lines", "only the newline is missing", "torn", "torn behind another's"),
        *("only torn", "torn, large", "torn at once", "zeros after a power failure", "zeros behind the cut"),
        *("short and not behind ours", "another's cut JSON", "another's JSON", "a note", "text"),
        *("a whole event", "huge", "bytes"),
    ],
)
def test_only_our_own_torn_line_is_cut_off(before: bytes, kept: bytes, tmp_path: Path) -> None:
    """What a crash left of a line of ours goes; whatever else has no newline at its end gets one, and stays."""
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


def test_what_a_dead_process_had_begun_to_write_is_cut_off(tmp_path: Path) -> None:
    """Where it is known that our former process died while it wrote, a few bytes of a first line are its own."""
    path = tmp_path / "events.jsonl"
    for torn, kept in ((True, b""), (False, b'{"ev\n')):
        path.write_bytes(b'{"ev')
        exporter = FileExporter(str(path), torn=torn)
        exporter.write(LINES[0])
        exporter.close()
        assert path.read_bytes() == kept + LINES[0]


def test_a_full_disk_has_a_reason_of_its_own(tmp_path: Path) -> None:
    """`disk_full`, with nothing written, each time it is tried."""
    exporter = FileExporter(str(tmp_path / "events.jsonl"))
    exporter.write(LINES[0])
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), exporter._fd)
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            exporter.write(LINES[0])
        assert (caught.value.code, caught.value.written) == ("disk_full", 0)
    exporter.close()


def special(kind: str, directory: Path) -> Path:
    """A path that leads to no regular file, or to one by way of a descriptor."""
    path = directory / "events.jsonl"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link to a directory":
            (directory / "logs").mkdir()
            path.symlink_to("logs")
        case "link to stdout":
            (directory / "link").symlink_to("/dev/stdout")
            path.symlink_to("link")
        case "link to /dev":
            (directory / "logs").symlink_to("/dev")
            path = directory / "logs" / "stdout"
        case "link to itself":
            path.symlink_to(path)
        case _:
            path = Path(kind)
    return path


KINDS = (
    *("/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "/dev/null", "/dev/full"),
    *("pipe", "link to a directory", "link to stdout", "link to /dev"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_and_never_written(kind: str, tmp_path: Path) -> None:
    """At the start and by the check, in one line that says what to set; and when it becomes one while a node runs."""
    path = special(kind, tmp_path)
    (problem,) = DESTINATION.refuse(given(path))
    (finding,) = DESTINATION.look(given(path))
    assert "expected a regular file" in problem
    assert (finding.verdict, "no regular file" in finding.reason) == ("fail", True)
    assert "PAYFLUX_EXPORT_MODE=stdout" in problem
    assert "PAYFLUX_EXPORT_MODE=stdout" in finding.fix
    exporter = FileExporter(str(path))
    with pytest.raises(ExportFailed) as caught:
        exporter.write(LINES[0])
    assert (caught.value.code, caught.value.written) == ("open", 0)
    assert "no regular file" in str(caught.value)


def test_a_file_that_becomes_a_pipe_takes_no_line(tmp_path: Path) -> None:
    """After a reopen nothing counts as written that goes nowhere; once it is a file again, lines go on."""
    path = tmp_path / "events.jsonl"
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    path.unlink()
    os.mkfifo(path)
    for attempt in (exporter.reopen, lambda: exporter.write(LINES[1])):
        with pytest.raises(ExportFailed) as caught:
            attempt()
        assert caught.value.code == "open"
    path.unlink()
    exporter.write(LINES[2])
    exporter.close()
    assert path.read_bytes() == LINES[2]


def test_links_to_files_are_files(tmp_path: Path) -> None:
    """A link to a file, there or not yet, and a directory that is one, are what an operator means by them."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "linked").symlink_to("logs")
    (tmp_path / "events.jsonl").symlink_to("linked/real.jsonl")
    for path in (tmp_path / "events.jsonl", tmp_path / "linked" / "other.jsonl"):
        assert list(DESTINATION.refuse(given(path))) == []
        exporter = FileExporter(str(path))
        exporter.write(LINES[0])
        exporter.close()
        assert path.read_bytes() == LINES[0]
    assert (tmp_path / "logs" / "real.jsonl").is_file()


@pytest.mark.parametrize("again", ["in its place", "rotated", "cut"])
def test_what_could_not_be_flushed_is_written_again(
    again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its place, so that no line stands twice, and really written; in a new file it comes behind what is there."""
    path = tmp_path / "events.jsonl"
    exporter = FileExporter(str(path))
    exporter.write(LINES[0])
    exporter.sync()
    exporter.write(LINES[1] + LINES[2])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        for _ in range(2):
            with pytest.raises(ExportFailed) as caught:
                exporter.sync()
            assert caught.value.code == "flush"
    expected = LINES[0] + LINES[1] + LINES[2]
    match again:
        case "in its place":  # as a disk would have it that took nothing
            path.write_bytes(LINES[0] + bytes(len(LINES[1] + LINES[2])))
        case "rotated":
            path.rename(tmp_path / "events.jsonl.1")
            path.write_bytes(LINES[5])
            exporter.reopen()
            expected = LINES[5] + LINES[1] + LINES[2]
        case "cut":
            os.truncate(path, 0)
            expected = LINES[1] + LINES[2]
    exporter.sync()
    assert path.read_bytes() == expected
    exporter.write(LINES[3])
    exporter.sync()
    exporter.close()
    assert path.read_bytes() == expected + LINES[3]


def failing(fd: int) -> None:
    """The disk has failed."""
    raise OSError(5, f"Input/output error of {fd}")


def test_the_newest_lines_are_recalled(tmp_path: Path) -> None:
    """Newest first, past what is not ours, as many as asked for; without a file there are none."""
    path = tmp_path / "events.jsonl"
    exporter = FileExporter(str(path))
    assert list(exporter.recall(9)) == []
    path.write_bytes(b"".join(map(line, range(1, 6000))) + b"a note\n" + line(6000) + line(6001)[:-9])
    before = path.read_bytes()
    assert [one.seq for one in exporter.recall(3)] == [6000, 5999, 5998]
    assert [one.seq for one in exporter.recall(10_000)] == [*range(6000, 0, -1)]
    assert path.read_bytes() == before


def test_lines_of_an_earlier_life_of_the_stream_are_not_recalled(tmp_path: Path) -> None:
    """The numbers began anew: an older entry has a higher number. What was reclaimed late is older with a lower one."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(8, 1000) + line(9, 1001) + line(1, 2000) + line(3, 2002) + line(2, 2001) + line(4, 2003))
    assert [one.seq for one in FileExporter(str(path)).recall(99)] == [4, 2, 3, 1]


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
    missing = tmp_path / "missing"
    (problem,) = DESTINATION.refuse(given(missing / "new"))
    assert problem.startswith(f"PAYFLUX_EXPORT_FILE={str(missing / 'new')!r}: expected a file this user can write, ")
    assert problem.endswith(f"and there is no directory {missing}")
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


PERMISSIONS = {
    0o000: "Permission denied",
    0o500: "cannot be written",
    0o300: "cannot be read, as a new file there must be",
}


@pytest.mark.parametrize("mode", PERMISSIONS)
def test_a_directory_that_does_not_let_us_is_refused(mode: int, directory: Path) -> None:
    """One that cannot be entered, written or read (a new file must be made to stay): one line, at the start."""
    logs = directory / "logs"
    logs.mkdir()
    refused, written = unprivileged(logs, mode)
    assert refused.startswith(f"PAYFLUX_EXPORT_FILE='{logs}/events.jsonl': expected a file this user can write, ")
    assert PERMISSIONS[mode] in refused
    assert written == "open"


def test_a_directory_that_cannot_be_read_will_do_for_a_file_that_is_there(directory: Path) -> None:
    """Its name is on the disk already."""
    logs = directory / "logs"
    logs.mkdir()
    (logs / "events.jsonl").touch()
    assert unprivileged(logs, 0o300) == ("", "written")


def test_lines_recalled_are_numbered_as_they_were_written(tmp_path: Path) -> None:
    """The shape of a line here is that of real ones."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(7))
    (one,) = FileExporter(str(path)).recall(1)
    assert json.loads(line(7))["stream_message_id"] == one.stream_message_id
    assert one.key == (1_767_957_855_007, 0)
