"""The exporter of one's own that the documentation shows: short, and it works as it stands there."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nodes import event
from real_parts import MakeNode
from scripts.docs.tables import ROOT
from servers import Server, until

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DLQ = "{events_stream}:dlq:payflux:acme_sqlite:SQLITE"


@pytest.mark.process
def test_it_is_short_and_carries_every_event(make_node: MakeNode, directory: Path, server: Server) -> None:
    """In fewer than sixty lines: a row for each event, a dead letter for what it refuses, and its name in health."""
    (code,) = BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    assert code.count("\n") < 60
    (directory / "acme_sqlite.py").write_text(code)
    file = directory / "events.db"
    node = make_node(
        {
            "PYTHONPATH": str(directory),
            "PAYFLUX_EXPORTERS": "acme_sqlite:SQLITE",
            "PAYFLUX_EXPORT_FROM": "oldest",
            "PAYFLUX_EXPORT_SQLITE_PATH": str(file),
            "PAYFLUX_EXPORT_SQLITE_BATCH_EVENTS": "7",
        }
    )
    sent = [event() for _ in range(30)]
    assert node.post_batch([*sent, event(processor="nobody")])[0] == 200
    until(lambda: server.client.xlen(DLQ) == 1, "the dead letter")
    (found,) = node.lines()[:1]
    with sqlite3.connect(file) as database:
        rows: list[Any] = database.execute("SELECT event_id, band FROM events ORDER BY seq").fetchall()
    database.close()
    assert [row[0] for row in rows] == [one["event_id"] for one in sent]
    assert rows[0][1] == found["processor_risk_band"]
    health = json.loads(node.get("/export/health")[1])["destinations"]
    assert health["acme_sqlite:SQLITE"]["last_success_ts"] > 1_700_000_000
