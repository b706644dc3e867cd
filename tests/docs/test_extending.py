"""What docs/extending.md shows works as it stands there."""

import re
import sys
from pathlib import Path

import pytest

from deploying import ROOT
from operator_commands import environ, payflux
from their_server import receiving

[RECEIVER] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)


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
