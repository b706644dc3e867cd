"""The proof of a load: made of real commands, and refused when a single event is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.machine import ROOT
from benchmarks.proof import ProofFailed, agree
from needs import program

SAID = {
    "groups": "name\npayment_consumers\nconsumers\n1\npending\n0\nentries-read\n700\nlag\n0",
    "stream": "length\n700\n--\nentries-added\n700",
    "number": "700",
    "metrics": "payflux_ingest_accepted_total 700.0\npayflux_ingest_duplicate_total 0.0",
    "lines": "700",
    "distinct": "700",
}


@pytest.mark.process
@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs /proc, which only Linux has")
def test_a_load_is_proven(tmp_path: Path) -> None:
    """One short load: the page shows each command with its output, the numbers agree, the screenshot is a picture."""
    program("curl")
    shutil.which("valkey-cli") or program("redis-cli")
    command = [sys.executable, "-m", "benchmarks.proof", "--seconds", "0.5", "--into", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "PROOF-load-test.md").read_text()
    accepted = re.search(r"^payflux_ingest_accepted_total (\d+)", page, re.MULTILINE)
    assert accepted is not None
    assert int(accepted[1]) > 100
    assert page.count(f"\n{accepted[1]}\n") == 6  # read, length, added, number, lines, distinct ids
    assert "pending\n0\n" in page
    assert page.endswith("```\n")
    assert str(tmp_path) not in page
    assert "/tmp" not in page  # noqa: S108 - where it ran is nobody's business
    root = ET.fromstring((tmp_path / "load-test.svg").read_text())  # noqa: S314 - our own
    shown = " ".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "payment_consumers" in shown


def test_the_same_everywhere_is_a_proof() -> None:
    """Nothing is said when all agree."""
    agree(**SAID)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("groups", SAID["groups"].replace("lag\n0", "lag\n1")),
        ("groups", SAID["groups"].replace("pending\n0", "pending\n1")),
        ("groups", SAID["groups"].replace("700", "699")),
        ("stream", "length\n700\n--\nentries-added\n701"),
        ("number", "699"),
        ("metrics", "payflux_ingest_accepted_total 699.0"),
        ("metrics", ""),
        ("lines", "701"),
        ("distinct", "699"),
    ],
)
def test_one_event_missing_is_no_proof(what: str, text: str) -> None:
    """Wherever it is missing, or left."""
    with pytest.raises(ProofFailed, match="not the same everywhere"):
        agree(**{**SAID, what: text})
