"""Whether the export file is rotated so that no line is lost."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from deploying import DEPLOY
from payflux.checks.rotation import judge_rotation
from payflux.finding import Finding
from servers import until

SHIPPED = DEPLOY / "logrotate" / "payflux"
ROTATE = DEPLOY / "rotate.sh"


def _rotation(directory: Path, text: str) -> Finding:
    place = directory / "logrotate.d"
    place.mkdir(exist_ok=True)
    (place / "payflux").write_text(text)
    return judge_rotation("/var/log/payflux/events.jsonl", [directory / "missing.conf", place])


def test_the_shipped_rotation_passes(directory: Path) -> None:
    """The stanza that ships is found by its glob, among others."""
    others = "weekly\ninclude /etc/logrotate.d\n/var/log/*.log\n/var/log/dpkg.log {\n  monthly\n}\n"
    assert _rotation(directory, others + SHIPPED.read_text()).verdict == "pass"


@pytest.mark.parametrize(
    ("good", "bad", "verdict", "word"),
    [
        ("delaycompress", "", "warn", "delaycompress"),
        ("    compress", "    copytruncate", "fail", "copytruncate"),
        ("--signal=HUP", "--signal=USR1", "fail", "SIGHUP"),
        ("postrotate", "prerotate", "fail", "SIGHUP"),
        ("/var/log/payflux/*.jsonl", "/var/log/other/*.jsonl", "fail", "nothing rotates"),
    ],
)
def test_a_rotation_that_loses_lines_fails(good: str, bad: str, verdict: str, word: str, directory: Path) -> None:
    """Each mistake that people make with logrotate is found in a copy of the shipped stanza."""
    finding = _rotation(directory, SHIPPED.read_text().replace(good, bad))
    assert finding.verdict == verdict
    assert word in finding.reason + finding.fix


def test_rotation_by_something_else_is_seen_by_its_files(directory: Path) -> None:
    """Where logrotate is not used, a rotated file beside the live one tells."""
    file = directory / "events.jsonl"
    file.touch()
    assert judge_rotation(str(file), []).verdict == "fail"
    (directory / "events.jsonl.1").touch()
    assert judge_rotation(str(file), []).verdict == "pass"


@pytest.mark.process
def test_the_rotation_of_the_image_is_seen_at_work(directory: Path) -> None:
    """While `payflux-rotate` runs for the file, it is rotated; for another file it is not."""
    program = directory / "payflux-rotate"
    shutil.copy(ROTATE, program)
    file = directory / "events.jsonl"
    running = subprocess.Popen([program, file, str(os.getpid())], start_new_session=True)
    try:
        until(lambda: judge_rotation(str(file), []).verdict == "pass", "the rotation to be seen")
        assert judge_rotation(str(directory / "other.jsonl"), []).verdict == "fail"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)
    until(lambda: judge_rotation(str(file), []).verdict == "fail", "its processes to be gone")
