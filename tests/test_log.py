"""Logs: one JSON line each on stderr, whatever stands in it."""

import json
import subprocess
import sys

import pytest

from payflux.errors import StreamUnavailable
from payflux.log import TEXT_LIMIT, log


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The one line that was written."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_has_time_level_and_message_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The fixed members come first, then the fields in the order given."""
    log("warning", "shutdown_initiated", reason="signal", pid=7, parts=["a"])
    found = logged(capsys)
    assert list(found) == ["ts", "level", "msg", "reason", "pid", "parts"]
    assert (found["level"], found["msg"], found["parts"]) == ("warning", "shutdown_initiated", ["a"])
    assert str(found["ts"]).endswith("Z")
    assert len(str(found["ts"])) == len("2026-01-09T12:00:00.000Z")


@pytest.mark.parametrize(
    "text", ['x\n{"level":"error"}', "\r", "\x1b[2J", "\u2028", "%s%n", "{0.__class__}", "\x00", "é\U0001f4b3", ""]
)
def test_no_text_breaks_out_of_its_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends, escapes and formats come back from the one line as they were."""
    log("error", "x", detail=text)
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert captured.endswith("\n")
    assert json.loads(captured)["detail"] == text


def test_long_texts_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A megabyte does not make a line of a megabyte."""
    log("error", "x", detail="d" * 1_000_000, error=StreamUnavailable("redis_error", "e" * 1_000_000))
    found = logged(capsys)
    assert found["detail"] == "d" * TEXT_LIMIT
    assert found["error"] == "e" * TEXT_LIMIT


def test_anything_can_be_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """File names in no encoding, exceptions and odd numbers are written, not raised."""
    log("error", "x", path="caf\udce9", error=OSError(2, "gone", "\udcff"), nan=float("nan"), big=2**80, raw=b"\xff")
    found = logged(capsys)
    assert found["path"] == "caf\\udce9"
    assert "gone" in str(found["error"])
    assert found["nan"] is None


def test_a_field_replaces_no_fixed_member(capsys: pytest.CaptureFixture[str]) -> None:
    """A field named like the time leaves the time alone."""
    log("info", "x", ts="yesterday")
    assert str(logged(capsys)["ts"]).startswith("2")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_a_log_nobody_takes_stops_nothing(stderr: str) -> None:
    """With stderr closed or full, the program goes on."""
    code = "from payflux.log import log; log('info', 'x'); log('info', 'y'); print('alive', flush=True)"
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {stderr}', sys.executable, code], stdout=subprocess.PIPE, text=True, timeout=30
    )
    assert ended.stdout == "alive\n"
