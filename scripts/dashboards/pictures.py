"""Pictures of the dashboard: staged incidents, seen by a real Prometheus, each panel drawn from its queries' answers.

`python -m scripts.dashboards.pictures DIRECTORY` starts Valkey, a node and a Prometheus, sends eight minutes of
`payflux simulate` with two incidents, stops the consumer for eight seconds, and writes dashboard.svg and risk.svg.
Needs `prometheus`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from payflux.redis.embedded import EmbeddedServer
from scripts.dashboards.grafana import HEIGHTS, WIDTH
from scripts.dashboards.panels import ROWS, Panel
from scripts.dashboards.prometheus import Prometheus
from scripts.dashboards.svg_chart import MUTED, Box, Chart, card, number, picture, scaled, table, text
from scripts.smoke.run import KEYS, Node

SECONDS = 480.0
STEP = 4.0
VARIABLES = {"$__rate_interval": "20s", "$__range": f"{SECONDS:.0f}s", "$job": ".*", "$processor": ".*"}
SIMULATION = ("--rate", "30", "--seed", "7", "--incident", "retry_storm", "--incident", "geo_spread")
KEY = KEYS.partition(",")[0]
PAUSE_AT, PAUSE_SECONDS = 290.0, 8.0
FAULTS_EVERY = 45.0
COLUMN, LINE, GAP, MARGIN, ROW = 58.0, 32.0, 10.0, 24.0, 34.0


def record(directory: Path, source: ExitStack) -> tuple[Prometheus, float]:
    """Stage the incidents; the Prometheus that saw them, to be ended with `source`, and when they were over."""
    server = EmbeddedServer(directory / "valkey")
    source.callback(server.stop)
    node = Node(directory, server.url)
    source.callback(node.stop)
    configuration = directory / "prometheus.yml"
    target = {"job_name": "payflux", "static_configs": [{"targets": [node.url.removeprefix("http://")]}]}
    configuration.write_text(json.dumps({"global": {"scrape_interval": "2s"}, "scrape_configs": [target]}))
    prometheus = Prometheus(directory / "prometheus", configuration)
    source.callback(prometheus.stop)
    command = [sys.executable, "-m", "payflux", "simulate", "--url", node.url, "--key", KEY, *SIMULATION]
    simulation = subprocess.Popen([*command, "--duration", f"{SECONDS:.0f}"])
    source.callback(simulation.kill)
    disturb(node.url, directory / "log.jsonl", simulation)
    return prometheus, time.time()


def disturb(url: str, log: Path, simulation: "subprocess.Popen[bytes]") -> None:
    """Until the traffic ends: a wrong key and a wrong event now and then, and once a consumer that stands still."""
    start = time.monotonic()
    faults_at, pause_at = FAULTS_EVERY, PAUSE_AT
    while simulation.poll() is None:
        elapsed = time.monotonic() - start
        if elapsed > faults_at:
            faults_at += FAULTS_EVERY
            post(url, "no-key-of-this-node", b"{}")
            post(url, KEY, b'{"event_type":"payment_failed"}')
        if elapsed > pause_at:
            pause_at = SECONDS * 2
            pause(log)
        time.sleep(0.5)


def post(url: str, key: str, body: bytes) -> None:
    """Send something that will be refused."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/events/payment_exhaust", body, headers)  # noqa: S310
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - a node of our own


def pause(log: Path) -> None:
    """Stop the node's consumer for a while, less than it takes to lose its lease and be called stuck."""
    started = [json.loads(line) for line in log.read_text().splitlines() if '"child_started"' in line]
    consumer = next(line["pid"] for line in reversed(started) if line["child"] == "consumer")
    os.kill(consumer, signal.SIGSTOP)
    time.sleep(PAUSE_SECONDS)
    os.kill(consumer, signal.SIGCONT)


def asked(expr: str) -> str:
    """A query of the dashboard with its variables filled in, as Grafana does."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def named(legend: str, labels: dict[str, str]) -> str:
    """What a series is called."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def draw(panel: Panel, box: Box, source: Prometheus, end: float) -> Iterator[str]:
    """A panel in a rectangle."""
    inner = box.inset(0, 46, 0, 4)
    yield from card(box, panel.title, panel.about if panel.kind == "graph" else "")
    if panel.kind == "graph":
        yield from chart(panel, source, end).draw(inner)
        return
    found = [series for query in panel.queries for series in source.instant(asked(query.expr), time=str(end))]
    if panel.kind == "table":
        yield from table(inner, [series["metric"] for series in found])
        return
    value = float(found[0]["value"][1]) if found else 0.0
    colour = [colour for least, colour in panel.steps if least is None or value >= least][-1]
    yield from number(box.inset(10, 34, 10, 10), scaled(value, panel.unit), colour)


def chart(panel: Panel, source: Prometheus, end: float) -> Chart:
    """The answers to a panel's queries."""
    start = end - SECONDS
    series = {
        named(query.legend, found["metric"]): [(at, float(value)) for at, value in found["values"] if value != "NaN"]
        for query in panel.queries
        for found in source.span(asked(query.expr), start, end, STEP)
    }
    return Chart(series, start, end, panel.unit, panel.stacked, panel.steps, panel.highest)


def whole(source: Prometheus, end: float) -> str:
    """The dashboard, laid out as Grafana does."""
    parts: list[str] = []
    y = MARGIN
    for title, panels in ROWS.items():
        parts.append(text(MARGIN, y + 18, title, size=15, style="font-weight='600'"))
        y += ROW
        left, height = 0, 0.0
        for panel in panels:
            if left + panel.width > WIDTH:
                y, left, height = y + height, 0, 0.0
            tall = HEIGHTS[panel.kind] * LINE * (0.7 if panel.kind == "stat" else 1)
            box = Box(MARGIN + left * COLUMN, y, panel.width * COLUMN - GAP, tall - GAP)
            parts += draw(panel, box, source, end)
            left, height = left + panel.width, max(height, tall)
        y += height
    parts.append(text(MARGIN, y + 16, CAPTION, colour=MUTED))
    return picture(2 * MARGIN + WIDTH * COLUMN - GAP, y + MARGIN + 10, parts)


CAPTION = (
    "Simulated traffic of six processors, 30 events/s: a retry storm at stripe from 0:30 to 3:30, card testing at "
    "checkout from 4:00 to 7:00, and a consumer that stands still for 8 seconds at 4:50."
)


def risk(source: Prometheus, end: float) -> str:
    """The panel of the risk scores alone."""
    width, height = 960.0, 400.0
    return picture(width, height, list(draw(ROWS["Risk"][0], Box(8, 8, width - 16, height - 16), source, end)))


def write(directory: Path, source: Prometheus, end: float) -> None:
    """Both pictures as files."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dashboard.svg").write_text(whole(source, end))
    (directory / "risk.svg").write_text(risk(source, end))


def main() -> None:
    """Record and draw."""
    with tempfile.TemporaryDirectory(prefix="pf-images-") as directory, ExitStack() as source:
        prometheus, end = record(Path(directory), source)
        write(Path(sys.argv[1]), prometheus, end)


if __name__ == "__main__":
    main()
