"""What a node announces of incidents: counts, how late the warning was, and lines."""

import os
from pathlib import Path

from incident_records import SINCE, change, steps
from payflux.exporters.fanout import ExporterQueue
from payflux.exporters.file import FileExporter
from payflux.node.announcing import Announcer
from payflux.telemetry.metrics import INCIDENTS, OFFSETS, WARNING_BUCKETS, WARNING_LATENCY, Metrics, create_slab


def test_each_change_is_counted_and_written(tmp_path: Path) -> None:
    """What opened counts, with the time since its first evidence; newer numbers alone are no line."""
    slab = create_slab(["consumer"])
    metrics = Metrics(slab, "consumer")
    lines = ExporterQueue("incidents", FileExporter(str(tmp_path / "incidents.jsonl")), metrics, 1 << 20)
    announcer = Announcer(metrics, lines, lambda: SINCE + 25.0)
    told = [change("opened"), change("updated", second=SINCE + 15), change("resolved", second=SINCE + 400)]
    for step in steps(*told):
        announcer.announce(step)
    lines.end(10)
    written = (tmp_path / "incidents.jsonl").read_text().splitlines()
    assert ['"change":"opened"' in line for line in written] == [True, False]
    assert all(line.startswith('{"kind":"incident",') for line in written)
    assert metrics.get(INCIDENTS, metrics.processors.index("stripe"), "segment_degradation") == 1
    start = OFFSETS[WARNING_LATENCY]
    counted = list(metrics.values[start : start + len(WARNING_BUCKETS) + 2])
    assert (counted[WARNING_BUCKETS.index(30.0)], counted[-1], sum(counted[:-1])) == (1, 25.0, 1)
    os.close(slab.fd)


def test_without_a_file_it_only_counts() -> None:
    """Nobody asked for lines."""
    slab = create_slab(["consumer"])
    metrics = Metrics(slab, "consumer")
    (step,) = steps(change("opened", "adyen"))
    Announcer(metrics, None).announce(step)
    assert metrics.get(INCIDENTS, metrics.processors.index("adyen"), "segment_degradation") == 1
    os.close(slab.fd)
