"""What docs/extending.md shows works as it stands there."""

import json
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from deploying import ROOT
from nodes import event
from operator_commands import environ, payflux
from real_parts import MakeNode
from servers import Server, until
from their_server import receiving

RECEIVER, EXPORTER = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
DLQ = "{events_stream}:dlq:payflux:acme_sqlite:SQLITE"


@pytest.mark.process
def test_a_receiver_of_ones_own_is_told(tmp_path: Path) -> None:
    """In less than 60 lines: with settings of its own, which are asked for, and by the name of its class."""
    assert RECEIVER.count("\n") < 60
    (tmp_path / "sms_gateway.py").write_text(RECEIVER)
    own = {"PYTHONPATH": str(tmp_path), "PAYFLUX_ALERTS": "sms_gateway:Sms", "PATH": str(Path(sys.executable).parent)}
    missing = payflux(environ("redis://127.0.0.1:1", **own), "alerts", "test")
    assert missing.returncode == 2
    assert b"PAYFLUX_ALERT_SMS_URL: expected an address, and PAYFLUX_ALERT_SMS_TO a number" in missing.stderr
    with receiving() as gateway:
        own |= {"PAYFLUX_ALERT_SMS_URL": gateway.url, "PAYFLUX_ALERT_SMS_TO": "+15550100"}
        done = payflux(environ("redis://127.0.0.1:1", **own), "alerts", "test", "sms")
    assert (done.returncode, done.stdout) == (0, b"sms: took the opening: HTTP 200\nsms: took the end: HTTP 200\n")
    assert [got.json["to"] for got in gateway.got] == ["+15550100"] * 2
    assert str(gateway.got[1].json["text"]).startswith("TEST: RESOLVED: [high] example: 62% of payments from GB fail")


@pytest.mark.process
def test_an_exporter_of_ones_own_carries_every_event(make_node: MakeNode, directory: Path, server: Server) -> None:
    """In fewer than sixty lines: a row for each event, a dead letter for what it refuses, and its name in health."""
    assert EXPORTER.count("\n") < 60
    (directory / "acme_sqlite.py").write_text(EXPORTER)
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
