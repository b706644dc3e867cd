"""The registry: modes, exporters of one's own, and how little it takes to add one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nodes import KEY, event
from payflux.exporters import Opening
from payflux.exporters.capturing import CapturingExporter
from payflux.exporters.registry import (
    EXPORT_ACK,
    EXPORT_MODE,
    EXPORTERS,
    MODES,
    check_export,
    destination,
    settings,
    used,
)
from payflux.settings import Values, load
from real_parts import MakeNode
from servers import until

ROOT = Path(__file__).parent.parent.parent
SPOOL = '''
"""Export to a directory: a file for each batch."""

from collections.abc import Iterator
from pathlib import Path

from payflux.exporters import Destination, Opening
from payflux.finding import Finding
from payflux.settings import Values, optional

DIRECTORY = optional("PAYFLUX_EXPORT_SPOOL", Path, "Directory of the spool; required for `spool`.")


class SpoolExporter:
    def __init__(self, opening: Opening) -> None:
        self._directory = opening.values[DIRECTORY]
        self._batches = 0

    def write(self, data: bytes) -> None:
        (self._directory / str(self._batches)).write_bytes(data)
        self._batches += 1

    def sync(self) -> None:
        pass

    def reopen(self) -> bool:
        return False

    def close(self) -> None:
        pass


def _refuse(values: Values) -> Iterator[str]:
    if values[DIRECTORY] is None:
        yield "PAYFLUX_EXPORT_SPOOL: expected a directory"


def _look(values: Values) -> Iterator[Finding]:
    yield Finding("export_spool", "pass", f"{values[DIRECTORY]} is as good as any")


DESTINATION = Destination(
    SpoolExporter, "a spool for tests", settings=(DIRECTORY,), refuse=_refuse, look=_look, confirms=True
)
'''
AFTER = '    "file": "payflux.exporters.file:DESTINATION",\n'


def given(**environ: str) -> Values:
    """The settings of an export; refused ones are an error."""
    return load((EXPORT_MODE, EXPORT_ACK, *settings()), environ, (check_export,))


def test_a_mode_is_what_it_uses(tmp_path: Path) -> None:
    """Each exporter by itself, both of the first two, or none at all."""
    file = {"PAYFLUX_EXPORT_FILE": str(tmp_path / "out")}
    found = {mode: tuple(used(given(PAYFLUX_EXPORT_MODE=mode, **file))) for mode in MODES}
    assert found == {name: (name,) for name in EXPORTERS} | {"both": ("stdout", "file"), "none": ()}
    assert tuple(used(given())) == ("stdout",)


@pytest.mark.parametrize("mode", ["stdout", "both", "none", "payflux.testing:CapturingExporter"])
def test_only_what_can_confirm_is_acked_after_its_export(mode: str, tmp_path: Path) -> None:
    """One exporter that confirms, and no other beside it; the refusal names those that do."""
    values = load(
        (EXPORT_MODE, EXPORT_ACK, *settings()),
        {
            "PAYFLUX_EXPORT_MODE": mode,
            "PAYFLUX_EXPORT_ACK": "export_then_ack",
            "PAYFLUX_EXPORT_FILE": str(tmp_path / "out"),
        },
    )
    assert list(check_export(values)) == [
        f"PAYFLUX_EXPORT_ACK='export_then_ack': expected PAYFLUX_EXPORT_MODE=file, as {mode} can't confirm"
    ]


def test_a_class_of_ones_own_comes_in_by_the_same_door() -> None:
    """Any `module:Class` is a mode; it is made of the same as ours."""
    values = given(PAYFLUX_EXPORT_MODE="payflux.testing:CapturingExporter")
    ((name, kind),) = used(values).items()
    assert name == "payflux.testing:CapturingExporter"
    exporter = kind.make(opening := Opening(values))
    assert isinstance(exporter, CapturingExporter)
    assert exporter.opening is opening
    assert kind.confirms is False
    ours = destination("payflux.exporters.file:DESTINATION")  # a declaration of one's own says as much as ours
    assert ours is destination("file")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka", "one of stdout, file, both, none, or module:Class"),
        ("no.such.module:Exporter", "ModuleNotFoundError"),
        ("payflux.testing:NoSuchExporter", "AttributeError"),
        ("payflux.exporters.registry:EXPORTERS", "the class of an exporter"),
        (":", "ValueError"),
    ],
)
def test_what_is_no_exporter_is_refused(text: str, expected: str) -> None:
    """In words, whatever the import raises."""
    with pytest.raises(ValueError, match=expected):
        EXPORT_MODE.parse(text)


@pytest.fixture
def tree(directory: Path) -> Path:
    """PayFlux with one file and one line more."""
    shutil.copytree(
        ROOT / "src" / "payflux", directory / "src" / "payflux", ignore=shutil.ignore_patterns("__pycache__")
    )
    exporters = directory / "src" / "payflux" / "exporters"
    (exporters / "spool.py").write_text(SPOOL)
    registry = (exporters / "registry.py").read_text()
    assert registry.count(AFTER) == 1
    (exporters / "registry.py").write_text(registry.replace(AFTER, AFTER + AFTER.replace("file", "spool")))
    return directory / "src"


def run(tree: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python of that tree."""
    path = os.pathsep.join([str(tree), str(ROOT)])
    keys = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PAYFLUX_API_KEY": KEY, "PAYFLUX_CHECKOUT_ENABLED": "false"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=keys | environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.process
def test_one_more_file_and_one_more_line_are_refused_checked_and_documented(tree: Path) -> None:
    """Settings, refusals, findings and documentation derive from what the new file says of itself."""
    refused = run(tree, "-m", "payflux", "config", PAYFLUX_EXPORT_MODE="spool")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "payflux: PAYFLUX_EXPORT_SPOOL: expected a directory, as PAYFLUX_EXPORT_MODE is spool"
    ]
    refused = run(tree, "-m", "payflux", "config", PAYFLUX_EXPORT_ACK="export_then_ack")
    assert "expected PAYFLUX_EXPORT_MODE=file or spool, as stdout can't confirm" in refused.stderr
    right = {"PAYFLUX_EXPORT_MODE": "spool", "PAYFLUX_EXPORT_SPOOL": str(tree), "REDIS_URL": "unix:///nowhere"}
    shown = run(tree, "-m", "payflux", "config", PAYFLUX_EXPORT_ACK="export_then_ack", **right)
    assert shown.returncode == 0, shown.stderr
    assert str(tree) in shown.stdout
    looked = json.loads(run(tree, "-m", "payflux", "check", "--json", **right).stdout)["findings"]
    assert f"{tree} is as good as any" in [one["reason"] for one in looked if one["check"] == "export_spool"]
    pages = run(tree, "-c", "from scripts.docs import tables; print(tables.exporters(), tables.settings())").stdout
    assert "| `spool` | a spool for tests | `PAYFLUX_EXPORT_SPOOL` | yes |" in pages
    assert "| `PAYFLUX_EXPORT_SPOOL` | - | Directory of the spool; required for `spool`. |" in pages
    assert "stdout, file, spool, both" in pages


@pytest.mark.process
@pytest.mark.thorough
def test_one_more_file_and_one_more_line_are_a_destination(tree: Path, make_node: MakeNode, directory: Path) -> None:
    """A node takes it for its mode, lines arrive there, and health, OpenAPI and metrics know its name."""
    spool = directory / "spool"
    spool.mkdir()
    node = make_node(
        {"PYTHONPATH": str(tree), "PAYFLUX_EXPORT_MODE": "spool", "PAYFLUX_EXPORT_SPOOL": str(spool)},
        ("serve", "--role", "all"),
    )
    assert node.metrics()['events_exported_total{destination="spool"}'] == 0
    sent = event()
    assert node.post(sent) == 202
    until(lambda: node.metrics()['events_exported_total{destination="spool"}'] == 1, "the line")
    (batch,) = spool.iterdir()
    assert json.loads(batch.read_bytes())["event_id"] == sent["event_id"]
    health: Any = json.loads(node.get("/export/health")[1])
    assert health["export_mode"] == "spool"
    assert list(health["destinations"]) == ["spool"]
    assert health["destinations"]["spool"]["last_success_ts"] > 1_700_000_000
    schema = json.loads(node.get("/openapi.json")[1])["components"]["schemas"]["ExportHealth"]["properties"]
    assert "spool" in schema["export_mode"]["anyOf"][0]["enum"]
    assert "spool" in schema["destinations"]["properties"]
    assert node.lines() == []
