"""A node as far as it scores, on a stream in memory: what scores in one process after the other."""

import json
import uuid
from collections.abc import Sequence

import msgspec

from consumer_parts import Clock, put
from payflux.consume.line import Enricher
from payflux.consume.scoring import PAGE, Scoring
from payflux.event.decode import StoredEvent, decode_event
from payflux.risk.assessment import RiskAssessment
from payflux.risk.judge import Limits
from payflux.risk.scoring import Scorer
from payflux.stream.deliveries import Ledger
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.testing import MemoryStream, make_event


def stored(*, failed: bool = True, processor: str = "stripe", number: int | None = None) -> StoredEvent:
    """An attempt that fails by the processor's fault, or succeeds; its id is made of a number, where one is given."""
    kind = {"event_type": "payment_failed" if failed else "payment_succeeded", "retry_result": ""}
    if number is not None:
        kind["event_id"] = str(uuid.UUID(int=number, version=4))
    return decode_event(json.dumps(make_event(processor=processor, **kind)).encode())


class Node:
    """What scores in one process after the other, on a stream that outlives them."""

    def __init__(self, stream: MemoryStream, clock: Clock, maxlen: int = 0, limits: Limits | None = None) -> None:
        self.stream, self.clock = stream, clock
        self.metrics = Metrics(create_slab(["consumer"]), "consumer")
        self.scorer = Scorer(limits)
        self.enricher = Enricher("one", self.scorer.score, self.metrics)
        self.scoring = Scoring(stream, self.scorer, self.enricher, maxlen, now=lambda: 0.0)
        self.ledger = Ledger("one")
        self.lines: list[bytes] = []

    async def join(self) -> "Node":
        """Take lease and group, and go on from what is kept."""
        ledger = await self.stream.take_lease(self.ledger, fresh=True)
        assert ledger is not None
        self.ledger = msgspec.structs.replace(ledger, owner="one")
        await self.stream.ensure_group(self.ledger)
        await self.scoring.recover(self.ledger, self._stay)
        return self

    async def _stay(self) -> None:
        await self.stream.take_lease(self.ledger, fresh=False)

    async def work(self, *, commit: bool = True, most: int = 0) -> None:
        """Follow what there is, and commit it; then a turn in which nothing was unread. Or follow a few, if told."""
        await self._stay()
        while found := await self.stream.follow(self.ledger.last_id, most or PAGE, 0.001):
            self.lines += [self.enricher.line(delivery, b"").data for delivery in found]
            if not commit:
                return
            changes = self.scoring.unkept
            after, self.ledger.last_id, self.ledger.last_seq = self.ledger.last_id, found[-1].id, found[-1].seq
            await self.stream.commit(self.ledger, after, len(found), 0, (), changes)
            self.scoring.kept(changes)
            await self.scoring.pass_time(self.ledger, None)
            if most:
                return
        tail = await self.stream.unread_tail(self.ledger)
        await self.scoring.pass_time(self.ledger, tail.at_ms if tail else None)

    async def log(self) -> list[RiskAssessment]:
        """What was kept."""
        return [msgspec.json.decode(data, type=RiskAssessment) for data in (await self.stream.risk()).log]


async def seconds(node: Node, traffic: Sequence[int], *, commit: bool = True) -> None:
    """One second after the other with so many failures, each read as it ends; the same events at the same time."""
    for failures in traffic:
        await second(node, failures)
        await node.work(commit=commit)
        node.clock.at += 1


async def second(node: Node, failures: int) -> None:
    """So many failures and a success come, and nobody reads them yet."""
    first = int(node.clock.at) * 1000
    failed = (stored(number=first + number) for number in range(1, failures + 1))
    await put(node.stream, *failed, stored(failed=False, number=first))
