"""A scene as it would really be: node, Redis, Prometheus and Alertmanager, and traffic at its own pace."""

import asyncio
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from payflux.load.sender import Sender
from payflux.load.simulation import CONNECTIONS, Simulation
from payflux.load.traffic import Traffic
from payflux.redis.embedded import EmbeddedServer
from payflux.risk.incidents.record import Record
from scripts.dashboards.prometheus import Monitor
from scripts.scenes.history import teach
from scripts.scenes.monitors import Inbox, alertmanager, prometheus
from scripts.scenes.outcome import LATE_SEC, Row, rows, seen
from scripts.scenes.stages import Scene
from scripts.smoke.run import KEYS, Node

AFTER_SEC = 1500.0
"""How long an incident may take to end, and its alert, after its cause is over."""

QUIET_SEC = 3600.0
LOOK_SECONDS = 1.0
KEPT = {"PAYFLUX_STREAM_MAXLEN": "0"}
"""A history is longer than what a stream usually keeps."""


class Stage(NamedTuple):
    """What a scene is played on."""

    ingest: Node
    redis_url: str
    inbox: Inbox
    told: Monitor
    directory: Path

    @property
    def incidents(self) -> Path:
        """The file of incident lines."""
        return self.directory / "incidents.jsonl"

    def records(self) -> list[Record]:
        """What became of incidents, as the incident file has it."""
        if not self.incidents.exists():
            return []
        return [json.loads(line) for line in self.incidents.read_bytes().split(b"\n")[:-1]]


def play(scene: Scene, seed: int, directory: Path) -> list[Row]:
    """Play a scene, and say what became of it.

    Args:
        scene: what happens.
        seed: of its traffic and its history.
        directory: for everything; must be there.

    Raises:
        NodeFailed: a node did not start, or did not end well.
        NotReady: Prometheus or Alertmanager did not start.
    """
    with ExitStack() as running:
        server = EmbeddedServer(directory / "valkey")
        running.callback(server.stop)
        inbox = Inbox()
        running.callback(inbox.stop)
        told = alertmanager(directory / "alertmanager", inbox)
        running.callback(told.stop)
        ingest = Node(directory / "ingest", server.url, ("--role", "ingest"), KEPT)
        running.callback(ingest.stop)
        teach(server.url, seed, scene.absent)
        return asyncio.run(_live(scene, seed, Stage(ingest, server.url, inbox, told, directory), running))


async def _live(scene: Scene, seed: int, stage: Stage, running: ExitStack) -> list[Row]:
    began, ending = time.time(), asyncio.Event()
    async with Sender(stage.ingest.url, KEYS.split(","), connections=CONNECTIONS, patience_seconds=1.0) as sender:
        traffic = Traffic(seed, began, scene.incidents)
        simulation = Simulation(sender, traffic, began, rate=None, batch=1, say=lambda *_, **__: None)
        sending = asyncio.create_task(simulation.run(ending))
        try:
            await asyncio.to_thread(_read, stage, running)
            while not _is_over(scene, began, stage):
                if (await asyncio.wait([sending], timeout=LOOK_SECONDS))[0]:
                    break  # the node refuses what is sent: `await` below says so
        finally:
            ending.set()
            await sending
    return rows(scene, began, seen(stage.records(), stage.inbox.incidents()))


def _read(stage: Stage, running: ExitStack) -> None:
    """Start what reads the stream, now that the history is whole and goes on."""
    environ = {"PAYFLUX_EXPORT_MODE": "none", "PAYFLUX_INCIDENT_FILE": str(stage.incidents)}
    consumer = Node(stage.directory / "consumer", stage.redis_url, ("--role", "consume"), environ)
    running.callback(consumer.stop)
    nodes = [node.url.removeprefix("http://") for node in (stage.ingest, consumer)]
    running.callback(prometheus(stage.directory / "prometheus", nodes, stage.told).stop)


def _is_over(scene: Scene, began: float, stage: Stage) -> bool:
    """Whether nothing more is to be waited for."""
    past = time.time() - began - scene.end
    if not scene.incidents:
        return past > QUIET_SEC
    found = [one for one in seen(stage.records(), stage.inbox.incidents()) if one.opened >= began]
    ended = all(one.resolved and one.alerted and one.alerted.resolved for one in found)
    return past > AFTER_SEC or (past > LATE_SEC and ended and bool(found))
