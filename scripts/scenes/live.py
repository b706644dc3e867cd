"""A scene as it would really be: node, Redis, Prometheus and Alertmanager, and traffic at its own pace."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from payflux.load.sender import Sender
from payflux.load.simulation import CONNECTIONS, Simulation, Tally
from payflux.load.traffic import Traffic
from payflux.redis.embedded import EmbeddedServer
from payflux.risk.incidents.record import Record
from scripts.dashboards.prometheus import Monitor
from scripts.scenes.history import teach
from scripts.scenes.monitors import Inbox, alertmanager, prometheus
from scripts.scenes.outcome import LATE_SEC, Row, death, rows, seen
from scripts.scenes.stages import Scene
from scripts.smoke.run import KEYS, Node, NodeFailed

AFTER_SEC = 1500.0
"""How long an incident may take to end, and its alert, after its cause is over."""

QUIET_SEC = 3600.0
READ_SEC, LEVEL_SEC = 600.0, 5.0
"""How long the history may take to be read, and how far behind the time a node is that has read it."""

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
    async with Sender(stage.ingest.url, KEYS.split(","), connections=CONNECTIONS, patience_seconds=1.0) as sender:
        # Nothing happens before the history is read: a node that is behind would notice it late.
        async with _sending(sender, Traffic(seed, time.time())):
            readers = await asyncio.to_thread(_read, scene, stage, running)
        began = time.time()
        async with _sending(sender, Traffic(seed, began, scene.incidents)) as sending:
            while not _is_over(scene, began, stage):
                if (await asyncio.wait([sending], timeout=LOOK_SECONDS))[0]:
                    break  # the node refuses what is sent: leaving says so
                if scene.killed is not None and time.time() >= began + scene.killed:
                    await asyncio.to_thread(readers[0].kill)
    made = rows(scene, began, seen(stage.records(), stage.inbox.incidents()))
    return made if scene.killed is None else [*made, death(scene, began, stage.inbox.death(readers[0].address))]


@asynccontextmanager
async def _sending(sender: Sender, traffic: Traffic) -> AsyncIterator[asyncio.Task[Tally]]:
    """Send traffic that begins now, as long as the context lasts."""
    ending = asyncio.Event()
    simulation = Simulation(sender, traffic, time.time(), rate=None, batch=1, say=lambda *_, **__: None)
    sending = asyncio.create_task(simulation.run(ending))
    try:
        yield sending
    finally:
        ending.set()
        await sending


def _read(scene: Scene, stage: Stage, running: ExitStack) -> list[Node]:
    """Start what reads the stream, and whoever looks at the nodes once everything is read: those that read, by turn."""
    environ = {"PAYFLUX_EXPORT_MODE": "none", "PAYFLUX_INCIDENT_FILE": str(stage.incidents)}
    readers: list[Node] = []
    for name in ("consumer",) if scene.killed is None else ("consumer", "standby"):
        node = Node(stage.directory / name, stage.redis_url, ("--role", "consume"), environ)
        running.callback(node.stop if scene.killed is None or readers else node.kill)
        readers.append(node)
        _level(node)
    nodes = [node.address for node in (stage.ingest, *readers)]
    running.callback(prometheus(stage.directory / "prometheus", nodes, stage.told).stop)
    return readers


def _level(node: Node) -> None:
    """Wait until everything that came is scored.

    Raises:
        NodeFailed: it takes too long.
    """
    headers = {"Authorization": f"Bearer {KEYS.partition(',')[0]}"}
    request = urllib.request.Request(f"{node.url}/v1/risk", headers=headers)  # noqa: S310 - an address of our own
    deadline = time.monotonic() + READ_SEC
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            risk = json.load(answer)
            if not risk["stale"] and time.time() - datetime.fromisoformat(risk["as_of"]).timestamp() < LEVEL_SEC:
                return
        time.sleep(LOOK_SECONDS)
    raise NodeFailed(f"{node.address} has not read its history in {READ_SEC:.0f} s")


def _is_over(scene: Scene, began: float, stage: Stage) -> bool:
    """Whether nothing more is to be waited for."""
    past = time.time() - began - scene.end
    if not scene.incidents:
        return past > QUIET_SEC
    found = [one for one in seen(stage.records(), stage.inbox.incidents()) if one.opened >= began]
    ended = all(one.resolved and one.alerted and one.alerted.resolved for one in found)
    return past > AFTER_SEC or (past > LATE_SEC and ended and (bool(found) or not scene.troubles))
