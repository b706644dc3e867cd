"""The disk that lines go to."""

import os
from collections import namedtuple

import pytest

from consumer_parts import good
from payflux.checks.export import judge_disk, judge_exporters
from payflux.node.settings import SETTINGS
from payflux.settings import Values, load
from servers import Server
from stream_keys import KEYS


@pytest.mark.parametrize(("free", "verdict"), [(50, "pass"), (9, "warn"), (2, "fail")])
@pytest.mark.parametrize("what", ["f_bavail", "f_favail"])
def test_a_disk_that_fills_is_found(what: str, free: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space and inodes count alike."""
    sizes = {"f_blocks": 100, "f_bavail": 50, "f_files": 100, "f_favail": 50} | {what: free}
    monkeypatch.setattr(os, "statvfs", lambda _: namedtuple("Sizes", sizes)(**sizes))  # noqa: PYI024
    assert judge_disk("/var/log/payflux/events.jsonl").verdict == verdict


def test_a_directory_that_is_not_there_fails() -> None:
    """The export file needs its directory."""
    assert judge_disk("/nowhere/events.jsonl").verdict == "fail"


def values_of(server: Server, **environ: str) -> Values:
    """The settings of a node that exports by webhook."""
    return load(SETTINGS, {"REDIS_URL": server.url, "PAYFLUX_EXPORTERS": "webhook"} | environ)


async def test_a_stream_that_is_short_for_its_rate_is_warned_of(server: Server) -> None:
    """A hundred events in a second, and a stream of a thousand: an exporter that is down for long loses events."""
    data = good().data
    for number in range(101):
        fields = {"data": data, "seq": str(number + 1)}
        server.client.xadd("events_stream", fields, id=f"{1_767_960_000_000 + 10 * number}-0")  # type: ignore[arg-type]
    server.client.hset(KEYS.state, "seq", "101")
    (finding,) = await judge_exporters(values_of(server, PAYFLUX_STREAM_MAXLEN="1000"), KEYS)
    assert (finding.check, finding.verdict) == ("exporter_webhook", "warn")
    assert finding.fix.startswith("raise PAYFLUX_STREAM_MAXLEN to 360000")
    (finding,) = await judge_exporters(values_of(server, PAYFLUX_STREAM_MAXLEN="0"), KEYS)
    assert (finding.verdict, finding.reason) == ("pass", "101 entries wait for it")
    assert await judge_exporters(values_of(server, PAYFLUX_EXPORTERS=""), KEYS) == []
