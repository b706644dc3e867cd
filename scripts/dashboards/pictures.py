"""Pictures of the dashboard: staged incidents, seen by a real Prometheus, each panel drawn from its queries' answers.

`python -m scripts.dashboards.pictures DIRECTORY` starts Valkey, a node and a Prometheus, sends eight minutes of
`payflux simulate` with two incidents, stops the consumer for eight seconds, and writes dashboard.svg and risk.svg.
Needs `prometheus`.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

from payflux.event.example import make_event
from payflux.redis.embedded import EmbeddedServer
from payflux.terminal.drawing import svg
from payflux.webhooks.identifiers import HASH_KEY
from payflux.webhooks.registry import ADAPTERS, load_source, path_of, secrets_of
from payflux.webhooks.sampling import samples_of
from scripts.dashboards.panels import Panel
from scripts.dashboards.plots import Plot, Points, graph, stat, table, whole
from scripts.dashboards.prometheus import Prometheus
from scripts.dashboards.rows import ROWS
from scripts.smoke.run import KEYS, Node

SECONDS = 480.0
STEP = 4.0
VARIABLES = {"$__rate_interval": "20s", "$__range": f"{SECONDS:.0f}s", "$job": ".*", "$processor": ".*"}
SIMULATION = ("--rate", "30", "--seed", "7", "--incident", "retry_storm", "--incident", "geo_spread")
SENDERS, SECRET = ("stripe", "adyen"), "ab" * 16
KEY = KEYS.partition(",")[0]
PAUSE_AT, PAUSE_SECONDS = 290.0, 8.0
FAULTS_EVERY = 45.0


def record(directory: Path, source: ExitStack) -> tuple[Prometheus, float]:
    """Stage the incidents; the Prometheus that saw them, to be ended with `source`, and when they were over."""
    server = EmbeddedServer(directory / "valkey")
    source.callback(server.stop)
    secrets = {secrets_of(name).name: SECRET for name in SENDERS}
    node = Node(directory, server.url, more=secrets | {HASH_KEY.name: SECRET})
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
    """Until the traffic ends: webhooks, now and then what has to be refused, and once a still consumer."""
    start = time.monotonic()
    faults_at, pause_at, chance = FAULTS_EVERY, PAUSE_AT, random.Random(7)
    while simulation.poll() is None:
        elapsed = time.monotonic() - start
        for name in SENDERS:
            send(url, name, SECRET if chance.random() < 0.95 else "ff" * 16, chance)
        if elapsed > faults_at:
            faults_at += FAULTS_EVERY
            post(url, "no-key-of-this-node", b"{}")
            post(url, KEY, b'{"event_type":"payment_failed"}')
            post(url, KEY, json.dumps(make_event(event_type="payment_attempt", retry_result="")).encode())
        if elapsed > pause_at:
            pause_at = SECONDS * 2
            pause(log)
        time.sleep(0.5)


def post(url: str, key: str, body: bytes) -> None:
    """Send something that may be refused."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/events/payment_exhaust", body, headers)  # noqa: S310
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - a node of our own


def send(url: str, processor: str, secret: str, chance: random.Random) -> None:
    """Send a webhook as the processor does; one signed with another secret is refused."""
    samples, source, now = samples_of(processor), load_source(ADAPTERS[processor]), time.time()
    webhook = source.sign(samples.body(samples.drawn("quiet", chance), chance, now), secret, now)
    headers = {name.decode(): value.decode() for name, value in webhook.headers.items()}
    request = urllib.request.Request(f"{url}{path_of(processor)}", webhook.body, headers)  # noqa: S310
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


def plot(panel: Panel, source: Prometheus, end: float) -> Plot:
    """A panel as a plot of what its queries answer."""
    if panel.kind == "graph":
        return graph(panel, series(panel, source, end), SECONDS / 60)
    found = [one for query in panel.queries for one in source.instant(asked(query.expr), time=str(end))]
    if panel.kind == "table":
        return table(panel, [one["metric"] for one in found])
    return stat(panel, float(found[0]["value"][1]) if found else 0.0)


def series(panel: Panel, source: Prometheus, end: float) -> dict[str, Points]:
    """Points by the names of their series, times in minutes since the start."""
    start = end - SECONDS
    return {
        named(query.legend, found["metric"]): [
            (round((at - start) / 60, 3), float(value)) for at, value in found["values"] if value != "NaN"
        ]
        for query in panel.queries
        for found in source.span(asked(query.expr), start, end, STEP)
    }


CAPTION = (
    "Simulated traffic of six processors, 30 events/s: a retry storm at stripe from 0:30 to 3:30, card testing at "
    "checkout from 4:00 to 7:00, and a consumer that stands still for 8 seconds at 4:50."
)


def write(directory: Path, source: Prometheus, end: float) -> None:
    """Both pictures as files."""
    directory.mkdir(parents=True, exist_ok=True)
    plots = {row: [(panel, plot(panel, source, end)) for panel in panels] for row, panels in ROWS.items()}
    (directory / "dashboard.svg").write_text(svg(whole(plots, CAPTION)))
    (directory / "risk.svg").write_text(svg(plots["Risk"][0][1]))


def main() -> None:
    """Record and draw."""
    with tempfile.TemporaryDirectory(prefix="pf-images-") as directory, ExitStack() as source:
        prometheus, end = record(Path(directory), source)
        write(Path(sys.argv[1]), prometheus, end)


if __name__ == "__main__":
    main()
