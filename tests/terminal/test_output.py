"""What commands write: whole results to stdout, JSON lines to a pipe on stderr, nothing that steers a terminal."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from payflux.terminal.output import emit_json, laid_out, narrator, printable


@pytest.mark.parametrize(
    ("text", "shown"), [("plain é", "plain é"), ("\x1b[2J", "\\x1b[2J"), ("a\nb\u202e", "a\\nb\\u202e")]
)
def test_text_of_others_steers_no_terminal(text: str, shown: str) -> None:
    """Escape sequences, line breaks and changes of direction are spelt out."""
    assert printable(text) == shown


def test_json_for_people_steers_no_terminal(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """C1 controls, changes of direction and what is not seen are escaped, and the value stays the same."""
    value = {"reason": "\x1b[2J\x9b2J\u202ee\u2066\u200b\x7f é"}
    emit_json(value)
    written = capfdbinary.readouterr().out
    assert json.loads(written) == value
    assert all(character.isprintable() for character in written.decode().replace("\n", ""))


def test_results_reach_a_slow_reader_whole() -> None:
    """More than a pipe holds, and at the end of the program nothing is left."""
    code = "from payflux.terminal.output import *; emit(b'x' * 1_000_000); emit_json({'a': [1]})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = process.stdout.read()
    assert text == b"x" * 1_000_000 + b'{\n  "a": [\n    1\n  ]\n}\n'


ROWS = [
    ("1767957855596-0", "invalid_json", "stripe", "550e8400-e29b-41d4-a716-446655440000"),
    ("9-0", "x", "支付", "-"),
]
HEADINGS = ("id", "reason", "processor", "event id")


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            77,
            [
                "id               reason        processor",
                "1767957855596-0  invalid_json  stripe",
                "    event id 550e8400-e29b-41d4-a716-446655440000",
                "9-0              x             支付",
                "    event id -",
            ],
        ),
        (
            30,
            [
                "id               reason",
                "1767957855596-0  invalid_json",
                "    processor stripe",
                "    event id 550e8400-e29b-41d4-a716-446655440000",
                "9-0              x",
                "    processor 支付  event id -",
            ],
        ),
        (
            78,
            [
                "id               reason        processor  event id",
                "1767957855596-0  invalid_json  stripe     550e8400-e29b-41d4-a716-446655440000",
                "9-0              x             支付       -",
            ],
        ),
    ],
)
def test_a_list_keeps_its_ids_whole(width: int, lines: list[str]) -> None:
    """What has no room in its row stands below it, with its heading; characters may be two columns wide."""
    assert [line.plain for line in laid_out(HEADINGS, ROWS, width)] == lines


def test_a_pipe_gets_json_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """What is narrated can be parsed."""
    narrator()("warning", "redis_unavailable", code="redis_down")
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["msg"], line["code"]) == ("warning", "redis_unavailable", "redis_down")


def test_a_terminal_gets_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and messages without underscores; markup in a value is shown as it is."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    written = io.StringIO()
    say = narrator(Console(file=written, highlight=False, width=200))
    say("info", "replay_ended", last_id="[red]1-0")
    say("info", "redis_connected")
    assert written.getvalue() == "replay ended: last id [red]1-0\nredis connected\n"
