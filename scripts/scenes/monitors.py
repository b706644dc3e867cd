"""Prometheus and Alertmanager as they ship, and who is told in the end."""

import json
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from scripts.commits import ROOT
from scripts.dashboards.prometheus import Monitor, Prometheus
from scripts.scenes.outcome import Alerted

DEPLOY = ROOT / "deploy"
ALERT, DEATH = "PayFluxIncident", "PayFluxNodeDown"


class Inbox:
    """A webhook of Alertmanager's: keeps every alert it is told of, and when.

    Attributes:
        url: where it is told.
        received: the alerts, each with the Unix time `at`, in the order they came.
    """

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.extend(alert | {"at": time.time()} for alert in json.loads(body)["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/payflux"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def told(self, alert: str, status: str) -> list[dict[str, Any]]:
        """What it was told of an alert that is `firing` or `resolved`."""
        return [one for one in list(self.received) if (one["labels"]["alertname"], one["status"]) == (alert, status)]

    def incidents(self) -> dict[str, Alerted]:
        """When it was told of each incident."""
        first: dict[str, float] = {}
        for one in reversed(self.told(ALERT, "firing")):
            first[one["labels"]["incident"]] = one["at"]
        over = {one["labels"]["incident"]: one["at"] for one in self.told(ALERT, "resolved")}
        return {incident: Alerted(at, over.get(incident)) for incident, at in first.items()}

    def death(self, node: str) -> float | None:
        """When it was told first that a node is down, `host:port`; None: never."""
        return next((one["at"] for one in self.told(DEATH, "firing") if one["labels"]["instance"] == node), None)

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()


def alertmanager(directory: Path, inbox: Inbox) -> Monitor:
    """An Alertmanager with the routes that ship.

    Args:
        directory: for its files.
        inbox: who is told.
    """
    directory.mkdir(parents=True)
    routes = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    routes["receivers"][0]["webhook_configs"][0]["url"] = inbox.url
    configuration = directory / "alertmanager.yml"
    configuration.write_text(yaml.safe_dump(routes))
    command = ("prometheus-alertmanager", f"--config.file={configuration}", "--storage.path=data")
    flags = ("--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=")
    return Monitor(directory, (*command, *flags))


def prometheus(directory: Path, nodes: Sequence[str], told: Monitor) -> Prometheus:
    """A Prometheus with the configuration and the rules that ship.

    Args:
        directory: for its files.
        nodes: addresses of what it scrapes, `host:port`.
        told: the Alertmanager.
    """
    directory.mkdir(parents=True)
    shipped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    shipped["rule_files"] = [str(DEPLOY / "prometheus" / "rules" / "*.yml")]
    shipped["scrape_configs"][0]["static_configs"] = [{"targets": list(nodes)}]
    shipped["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [told.url.removeprefix("http://")]}]}]
    configuration = directory / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(shipped))
    return Prometheus(directory, configuration)
