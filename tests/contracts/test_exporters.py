"""Every exporter: what each one has to do, and to say of itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporting import LINES
from payflux.exporters import Opening
from payflux.exporters.registry import EXPORTERS, destination, settings
from payflux.settings import load

EXPORT = """
import sys
from payflux.exporters import Opening
from payflux.exporters.registry import destination, settings
from payflux.settings import load
exporter = destination(sys.argv[1]).make(Opening(load(settings(), {"PAYFLUX_EXPORT_FILE": sys.argv[2]})))
lines = sys.stdin.buffer.readlines()
exporter.write(b"".join(lines[:1000]))
for line in lines[1000:1500]:
    exporter.write(line)
exporter.reopen()
exporter.write(b"".join(lines[1500:]))
exporter.close()
"""


@pytest.mark.parametrize("name", EXPORTERS)
def test_whole_lines_arrive_in_order(name: str, tmp_path: Path) -> None:
    """Batches and single lines, before and after a reopen, are all at the destination when it is closed."""
    target = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", EXPORT, name, str(target)], input=b"".join(LINES), capture_output=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    arrived = target.read_bytes() if target.exists() else ended.stdout
    assert arrived == b"".join(LINES)
    assert ended.stderr == b""
    assert ended.stdout in (b"", arrived)


@pytest.mark.parametrize("name", EXPORTERS)
def test_none_touches_its_destination_before_the_first_write(name: str, tmp_path: Path) -> None:
    """A standby consumer makes it, looks at it and closes it, and leaves no trace."""
    kind = destination(name)
    values = load(settings(), {"PAYFLUX_EXPORT_FILE": str(tmp_path / "out")})
    assert list(kind.refuse(values)) == []
    assert {finding.verdict for finding in kind.look(values)} <= {"pass", "warn"}
    exporter = kind.make(Opening(values))
    assert exporter.reopen() is False
    exporter.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXPORTERS)
def test_each_says_what_it_is_and_how_it_is_set_up(name: str) -> None:
    """A row of documentation, and settings that no other one has and that begin like all of ours."""
    kind = destination(name)
    assert kind.help
    assert not kind.help.endswith(".")
    assert all(setting.name.startswith("PAYFLUX_EXPORT_") for setting in kind.settings)
    assert len({setting.name for setting in settings()}) == len(settings())


@pytest.mark.parametrize("name", [name for name in EXPORTERS if destination(name).confirms])
def test_what_confirms_is_there_after_a_sync(name: str, tmp_path: Path) -> None:
    """Lines that were synced are at the destination while the exporter is still open."""
    exporter = destination(name).make(Opening(load(settings(), {"PAYFLUX_EXPORT_FILE": str(tmp_path / "out")})))
    exporter.write(LINES[0])
    exporter.sync()
    assert (tmp_path / "out").read_bytes() == LINES[0]
    exporter.close()
