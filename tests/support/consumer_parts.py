"""The parts of a consumer, on a stream in memory and with a clock that is told the time."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from payflux.consume.consumer import Consumer
from payflux.consume.decide import Assembler
from payflux.consume.ledger import ConsumerLedger
from payflux.consume.line import Enricher, Line
from payflux.consume.membership import Membership
from payflux.consume.reclaim import Reclaim
from payflux.consume.scoring import Scoring
from payflux.consume.settle import Settlement
from payflux.errors import StreamUnavailable
from payflux.event.decode import StoredEvent, decode_event
from payflux.exporters.fanout import ExporterQueue, FanOut
from payflux.stream.deliveries import Delivery, Ledger
from payflux.stream.protocol import ReadStream
from payflux.telemetry.metrics import Metric, Metrics, create_slab
from payflux.testing import CapturingExporter, MemoryStream, make_event

MAX_DELIVERIES = 5
Reply = TypeVar("Reply")
Stream = TypeVar("Stream", bound=ReadStream)
C = TypeVar("C", bound=Consumer)


class Clock:
    """Stands still until told."""

    def __init__(self, at: float = 1_767_960_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        """The time."""
        return self.at


def good() -> StoredEvent:
    """A valid event."""
    return decode_event(json.dumps(make_event()).encode())


def bad() -> StoredEvent:
    """No event."""
    return StoredEvent(b"rubbish", "", uuid.uuid4().bytes, "stripe")


async def put(stream: MemoryStream, *events: StoredEvent) -> None:
    """Append, and wait until it is done."""
    told = asyncio.Event()
    stream.append(events, lambda *_: told.set())
    await told.wait()


class Deaf(MemoryStream):
    """A stream that does as it is asked, but the next reply to each command in `deaf_to` gets lost; `on_deaf` then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.deaf_to: set[str] = set()
        self.on_deaf: Callable[[], object] = bool

    async def ack(self, *arguments: Any) -> bytes:
        """Ack; see ReadStream."""
        return self._heard("ack", await super().ack(*arguments))

    async def commit(self, *arguments: Any) -> Sequence[bytes]:
        """Commit; see ReadStream."""
        return self._heard("commit", await super().commit(*arguments))

    async def dead_letter(self, delivery: Delivery, reason: str, ledger: Ledger) -> bool:
        """Dead-letter; see ReadStream."""
        return self._heard("dead_letter", await super().dead_letter(delivery, reason, ledger))

    def _heard(self, command: str, reply: Reply) -> Reply:
        if command in self.deaf_to:
            self.deaf_to.discard(command)
            self.on_deaf()
            raise StreamUnavailable("redis_timeout", "no reply")
        return reply


class Watched(MemoryStream):
    """A stream that remembers of how many entries a further delivery was counted at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tried: list[int] = []

    async def attempt(self, ids: Sequence[bytes]) -> None:
        """Count one more delivery; see ReadStream."""
        self.tried.append(len(ids))
        await super().attempt(ids)


class Failing(Enricher):
    """Makes no line of some entries, by number; lines are not scored."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__("one", None, metrics)
        self.fails: set[int] = set()

    def line(self, delivery: Delivery, processed_at: bytes) -> Line:
        """Make a line, or fail."""
        if delivery.seq in self.fails:
            raise RuntimeError("a defect")
        return super().line(delivery, processed_at)


class Parts(Generic[Stream]):
    """Everything a consumer is made of, the loop excepted, and a consumer made of the like."""

    def __init__(
        self,
        stream: Stream,
        *,
        token: str = "one",  # noqa: S107 - a name
        clock: Clock | None = None,
        former_settled: int | None = None,
    ) -> None:
        self.stream, self.clock, self.token = stream, clock or Clock(), token
        self.metrics = Metrics(create_slab(["consumer"]), "consumer")
        self.exporter = CapturingExporter()
        self.fan_out = FanOut([ExporterQueue("file", self.exporter, self.metrics, 1 << 26)])
        self.enricher = Failing(self.metrics)
        self.ledger = ConsumerLedger(self.fan_out, self.metrics, token, former_settled)
        self.membership = Membership(stream, self.ledger, self.metrics, now=self.clock)
        self.assembler = Assembler(self.enricher, MAX_DELIVERIES)
        self.scoring = Scoring(stream, None, self.enricher, 0, now=self.clock)
        self.settlement = Settlement(
            *(stream, self.assembler, self.ledger, self.fan_out, self.metrics, self.scoring), now=self.clock
        )
        self.reclaim = Reclaim(
            *(stream, self.settlement, self.ledger, self.metrics),
            stay=self.membership.stay,
            claim_idle=30,
            max_deliveries=MAX_DELIVERIES,
            now=self.clock,
        )

    async def join(self) -> "Parts[Stream]":
        """Take lease and group."""
        await self.membership.renew()
        await self.membership.ensure_group()
        return self

    def consumer(self, kind: type[C], *, claim_idle: float = 0.2, now: Callable[[], float] = time.monotonic) -> C:
        """A consumer on the same stream, with the same exporter and metrics."""
        return kind(
            *(self.stream, self.enricher, self.fan_out, self.metrics),
            token=self.token,
            claim_idle=claim_idle,
            max_deliveries=MAX_DELIVERIES,
            now=now,
        )

    def count(self, metric: Metric, *labels: str) -> float:
        """What a metric stands at."""
        return self.metrics.values[self.metrics.slot(metric, *labels)]

    async def numbers(self) -> list[int]:
        """The numbers of the lines exported, in order, when all are written that were handed over."""
        await asyncio.to_thread(self.fan_out.end, 5.0)
        return [json.loads(line)["seq"] for line in self.exporter.lines]
