"""Those who tell, in this process, with what they need: a server with incidents in it, receivers, and a clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from incidents import NOON
from payflux.alerts import Kind, Receiver
from payflux.alerts.delivery import Delivery
from payflux.alerts.desk import Desk
from payflux.alerts.selection import Selection
from payflux.alerts.store import AlertStore, Memory
from payflux.alerts.telling import Teller
from payflux.outgoing.patience import Patience
from payflux.redis.address import parse_url
from payflux.risk.incidents.incident import Change, Incident
from payflux.risk.incidents.record import encoded
from servers import Server
from stream_keys import KEYS

WAIT_SECONDS = 20.0


def write(server: Server, kind: Any, incident: Incident) -> None:
    """Keep a change of an incident as the scorer does."""
    record = encoded(Change(kind, incident.updated, incident), 300)
    fields: dict[Any, Any] = {"id": incident.id, "processor": incident.processor, "incident": record}
    with server.client.pipeline(transaction=True) as step:
        if kind != "updated":
            step.xadd(KEYS.incidents, fields)
        if kind == "resolved":
            step.hdel(KEYS.incidents_open, incident.id)
        else:
            step.hset(KEYS.incidents_open, incident.id, record)
        step.execute()


def store_of(server: Server, owner: str = "one") -> AlertStore:
    """One who tells; not connected yet."""
    return AlertStore(parse_url(server.url), KEYS, owner)


class Here:
    """One who tells in this process.

    Attributes:
        now: its clock, Unix time; it stands still.
        said: what it logged, with what belongs to it.
        counted: results of each receiver.
        waiting: since when each waits, seconds; nobody on standby.
        store: what it is connected by; whoever kills it closes it.
    """

    def __init__(self, server: Server, receivers: Mapping[str, tuple[Kind, Receiver]], owner: str = "one") -> None:
        self.now = float(NOON)
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.counted: dict[tuple[str, str], int] = {}
        self.waiting: dict[str, float] = {}
        self._receivers = receivers
        self.store = store_of(server, owner)
        self.desk = Desk(self.store, self._tellers, self._watch, self._clock, self._say)

    def _clock(self) -> float:
        return self.now

    def _say(self, level: str, msg: str, **fields: Any) -> None:
        self.said.append((msg, fields | {"level": level}))

    def logged(self, msg: str) -> list[dict[str, Any]]:
        """What was logged under a name."""
        return [fields for name, fields in self.said if name == msg]

    def _tellers(self, memory: Memory) -> list[Teller]:
        return [self._teller(name, kind, receiver, memory) for name, (kind, receiver) in self._receivers.items()]

    def _teller(self, name: str, kind: Kind, receiver: Receiver, memory: Memory) -> Teller:
        patience = Patience(chance=lambda: 0.0)
        delivery = Delivery(kind, Selection(), memory.told.get(name, {}), lambda _: "", patience)

        def count(result: str, number: int) -> None:
            self.counted[name, result] = self.counted.get((name, result), 0) + number

        trouble = memory.troubles.get(name)
        return Teller(name, receiver, delivery, count, None, trouble, self._clock, self._say)

    def _watch(self, tellers: Sequence[Teller]) -> None:
        self.waiting = {teller.name: teller.waiting() for teller in tellers}


@asynccontextmanager
async def telling(here: Here) -> AsyncIterator[Here]:
    """It tells within; then it ends as a process does that was told to."""
    task = asyncio.create_task(here.desk.run())
    try:
        yield here
    finally:
        here.desk.stop()
        await asyncio.wait_for(task, WAIT_SECONDS)
        await here.desk.leave()


async def comes(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition while others of this process work."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in servers too
            await asyncio.sleep(0.01)
    assert condition(), what
