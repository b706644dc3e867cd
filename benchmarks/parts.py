"""What each step of an event costs by itself: the real code in one process, without sockets and without neighbours.

Steps run in tight loops, so their caches are warm: in a node, with four processes on two CPUs, the same ones cost more.
What the node spends beyond their sum goes to system calls, the event loop and cold caches.
"""

import asyncio
import gc
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load.generator import Shape, event_of, key_of
from benchmarks.machine import cpu_seconds, describe
from benchmarks.servers.redis import Redis
from payflux.client.card_numbers import may_contain_pan
from payflux.consume.line import Enricher, Scorable
from payflux.event import decode as events
from payflux.event.timestamps import normal_timestamp
from payflux.http.connection import Connection
from payflux.http.limits import Limits
from payflux.http.messages import Request, Respond, Response
from payflux.http.pipeline import Shared
from payflux.http.router import Router
from payflux.ingest.answers import ACCEPTED
from payflux.ingest.batch import IngestBatch
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.ingest.single import Ingest
from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.redis.address import RedisAddress
from payflux.redis.append import SCRIPT, RedisAppender, mark_of
from payflux.redis.keys import Keys
from payflux.redis.link import RedisLink, pack
from payflux.risk.reading import observed
from payflux.risk.scoring import Scorer
from payflux.settings import load
from payflux.stream.deliveries import Delivery
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.webhooks import Opening
from payflux.webhooks.endpoint import Parts as WebhookParts
from payflux.webhooks.endpoint import WebhookEndpoint
from payflux.webhooks.identifiers import Hasher
from payflux.webhooks.normal import Normaliser
from payflux.webhooks.registry import ADAPTERS, load_source
from payflux.webhooks.sampling import samples_of

EVENTS = 3000
TOGETHER = 30  # events that arrive in one turn of the loop under 64 connections
REPEATS = 15
KEY = key_of(0)
PATH = "/v1/events/payment_exhaust"
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer {KEY}\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
BARE_SCRIPT = "for i = 1, #ARGV, 2 do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i + 1], 'seq', i) end"
ARGUMENTS_ALONE = "return 1"


class Part(NamedTuple):
    """A step and its cost in µs an event; `within` names the step it is part of."""

    name: str
    us: float
    within: str = ""


class Sink:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None:
        """Take it."""

    def is_closing(self) -> bool:
        """Never."""
        return False


class Answering:
    """A connection to a Redis that appends everything at once."""

    lost = False

    def __init__(self) -> None:
        self.settle: Callable[[Any], None] | None = None
        self._seq = 0

    def send(self, packed: bytes, settle: Callable[[Any], None]) -> None:
        """Keep who waits."""
        del packed
        self.settle = settle

    def deadline(self, seconds: float) -> asyncio.TimerHandle:
        """Of a reply that comes at once."""
        return asyncio.get_running_loop().call_later(seconds, lambda: None)

    def reply(self, count: int) -> None:
        """All of them were appended."""
        assert self.settle is not None
        self._seq += count
        self.settle([self._seq, b"1" * count, None])


def best(run: Callable[[], object], count: int = EVENTS) -> float:
    """µs for each of `count`, in the best of some runs: the one least disturbed."""
    fastest = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        fastest = min(fastest, time.process_time() - started)
    return fastest / count * 1e6


def each(step: Callable[[Any], object], items: Sequence[Any]) -> float:
    """µs of a step for one of the items, without the loop around it."""

    def loop(do: Callable[[Any], object]) -> Callable[[], None]:
        def run() -> None:
            for item in items:
                do(item)

        return run

    return best(loop(step), len(items)) - best(loop(lambda _: None), len(items))


def new_bodies(count: int = EVENTS) -> list[bytes]:
    """Distinct events as a producer sends them."""
    return [event_of(Shape(), str(uuid.uuid4())).encode() for _ in range(count)]


def decoding() -> Iterator[Part]:
    """From a body to what is stored."""
    bodies = new_bodies()
    stored = [events.decode_event(one) for one in bodies]
    decoded = [events._decode(one) for one in bodies]
    yield Part("decode_event: validate, canonical JSON, card numbers", each(events.decode_event, bodies))
    yield Part("msgspec decodes", each(events._decode, bodies), "decode_event")
    yield Part("msgspec encodes the canonical form", each(events._encode, decoded), "decode_event")
    yield Part("screen for card numbers", each(lambda one: may_contain_pan(one[140:]), bodies), "decode_event")
    yield Part("timestamp", each(lambda one: normal_timestamp(one.event_timestamp), decoded), "decode_event")
    yield Part(f"decode_events: the same for {TOGETHER} together", best(lambda: _together(bodies)))
    dated = [one.replace(b":00Z", b":00.%06dZ" % number) for number, one in enumerate(bodies)]
    yield Part("decode_events, each with a timestamp of its own", best(lambda: _together(dated)))
    yield Part("mark_of: where the id is remembered", each(lambda one: mark_of(one.uid), stored))


def _together(bodies: list[bytes]) -> None:
    for at in range(0, len(bodies), TOGETHER):
        assert events.decode_events(bodies[at : at + TOGETHER])


@contextmanager
def doors() -> Iterator[tuple[Ingest, IngestBatch, RedisAppender, Answering]]:
    """Both doors over an appender whose Redis answers at once."""
    slab = create_slab(["ingest-0"], **{BUCKETS: 8})
    metrics = Metrics(slab, "ingest-0")
    appender = RedisAppender(RedisAddress(), Keys(), maxlen=200_000, window_sec=86_400)
    link = Answering()
    appender._link = cast("RedisLink", link)
    keeper = Gatekeeper([KEY], TokenBucket(10_000_000, 10_000_000, slab, alone=True))
    yield Ingest(appender, keeper, metrics, soon=lambda _: None), IngestBatch(appender, keeper, metrics), appender, link
    os.close(slab.fd)


def requests() -> list[bytes]:
    """What is read from sockets."""
    return [(HEAD % len(one)).encode() + one for one in new_bodies()]


def connections(handler: Router) -> list[Connection]:
    """As many as answer in one turn."""
    tail = b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    shared = Shared(handler, Limits(), time.monotonic, (tail, tail, tail))
    made = [Connection(shared, lambda _: None, lambda _: None) for _ in range(TOGETHER)]
    for one in made:
        one.connection_made(cast("asyncio.Transport", Sink()))
    return made


class Answering202:
    """A door that answers at once: what is left is HTTP."""

    def admit(self, request: Any) -> Response | None:
        """Let it in, its body alone from the second time on."""
        request.body_handler = self._answer
        return None

    def _answer(self, body: bytes, respond: Respond) -> None:
        del body
        respond(ACCEPTED)

    def handle(self, request: Any, respond: Respond) -> None:
        """Answer."""
        del request
        respond(ACCEPTED)


async def ingesting() -> list[Part]:
    """Single events and batches from the read to the answer."""
    received = requests()
    bare = connections(Router({PATH: {"POST": Answering202()}}))

    def http() -> None:
        for at, data in enumerate(received):
            bare[at % TOGETHER].data_received(data)

    parts = [Part("HTTP: known head, body alone, answer", best(http))]
    with doors() as (single, batch, appender, link):
        open_ones = connections(Router({PATH: {"POST": single}}))

        def one_by_one() -> None:
            for at, data in enumerate(received, 1):
                open_ones[at % TOGETHER].data_received(data)
                if at % TOGETHER == 0:
                    single._work()
                    appender._flush()
                    link.reply(TOGETHER)

        parts.append(Part("a single event, from its read to its answer", best(one_by_one)))
        parts.append(Part("an event in a batch of 100, from its read to its answer", _batches(batch, appender, link)))
    return parts


def _batches(batch: IngestBatch, appender: RedisAppender, link: Answering) -> float:
    kind = "Content-Type: application/x-ndjson"
    head = f"POST {PATH}/batch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n{kind}\r\n"
    bodies = new_bodies()
    texts = [b"\n".join(bodies[at : at + 100]) for at in range(0, EVENTS, 100)]
    received = [f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text for text in texts]
    (one, *_) = connections(Router({f"{PATH}/batch": {"POST": batch}}))

    def run() -> None:
        for data in received:
            one.data_received(data)
            appender._flush()
            link.reply(100)

    return best(run)


class Appended:
    """A stream that stores at once, everything."""

    def __init__(self) -> None:
        self.events = 0

    def append(self, events: Sequence[events.StoredEvent], on_appended: Callable[[bytes, None], None]) -> None:
        """Settle it."""
        self.events += len(events)
        on_appended(APPENDED.to_bytes() * len(events), None)


def webhooks(answers: Callable[[Response], None] = lambda _: None) -> Iterator[Part]:
    """From the body of a webhook of Stripe to its answer: verified, normalised, decoded as a producer's event is."""
    source, secret, now = load_source(ADAPTERS["stripe"]), "whsec_0123456789", time.time()
    chance, samples = random.Random(1), samples_of("stripe")
    signed = [source.sign(samples.body("charge.failed", chance, now), secret, now) for _ in range(EVENTS)]
    received = [Request("POST", "/", "", dict(one.headers), one.body, len(one.body)) for one in signed]
    adapter, normaliser = (
        source.make(Opening(load(source.settings, {}), (secret,))),
        Normaliser("stripe", Hasher("k" * 32)),
    )
    payments = [payment for one in signed for payment in adapter.read(one)]
    slab = create_slab(["ingest-0"], **{BUCKETS: 8})
    bucket = TokenBucket(10_000_000, 10_000_000, slab, alone=True)
    made = WebhookParts("stripe", source, adapter, normaliser, cast("AppendStream", Appended()), bucket, 0)
    metrics, waiting = Metrics(slab, "ingest-0"), list[Callable[[], None]]()
    alone = WebhookEndpoint(made, metrics, lambda: now, lambda work: work())
    among_others = WebhookEndpoint(made, metrics, lambda: now, waiting.append)

    def together() -> None:
        for at, one in enumerate(received, 1):
            among_others.handle(one, answers)
            if at % TOGETHER == 0:
                waiting.pop()()

    yield Part(
        "a webhook of Stripe, from its body to its answer", each(lambda one: alone.handle(one, answers), received)
    )
    yield Part(f"the same, {TOGETHER} that arrive together", best(together))
    yield Part("signature and time", each(lambda one: adapter.verify(one, now), signed), "webhook")
    yield Part("read what is used of it", each(lambda one: list(adapter.read(one)), signed), "webhook")
    yield Part("the event, its ids hashed", each(normaliser.event, payments), "webhook")
    os.close(slab.fd)


def consuming() -> Iterator[Part]:
    """From an entry to its line."""
    slab = create_slab(["consumer"])
    stored = [events.decode_event(one).data for one in new_bodies()]
    now = int(time.time() * 1000)
    deliveries = [Delivery(b"%d-0" % (now + at), at + 1, data) for at, data in enumerate(stored)]
    enricher = Enricher("consumer", Scorer().score, Metrics(slab, "consumer"))
    decode = msgspec.json.Decoder(Scorable).decode
    scorer, seen = Scorer(), observed(decode(stored[0]))
    stamp = b"2026-01-09T17:00:00Z"
    yield Part("Enricher.line: from an entry to its line", each(lambda one: enricher.line(one, stamp), deliveries))
    yield Part("msgspec decodes what is needed", each(decode, stored), "Enricher.line")
    score = each(lambda one: scorer.score(one.at_ms // 1000, "stripe", seen, -1, "", 0), deliveries)
    yield Part("count and score", score, "Enricher.line")
    os.close(slab.fd)


def appending(directory: Path) -> Iterator[Part]:
    """The append script on a server of its own, beside scripts that do less with the same arguments."""
    for events_each in (30, 100):
        for name, script in (
            ("script, arguments alone", ARGUMENTS_ALONE),
            ("script of XADD alone", BARE_SCRIPT),
            ("append.lua", SCRIPT.text),
        ):
            yield Part(f"{name}, {events_each} events each", _script_us(directory, script, events_each))


def _script_us(directory: Path, script: str, events_each: int) -> float:
    redis = Redis(Path(tempfile.mkdtemp(dir=directory)) / "r", "off")
    try:
        sha = str(redis.command("SCRIPT", "LOAD", script))
        before = None
        batches = 24_000 // events_each
        for number in range(batches + 20):
            if number == 20:  # of warming up
                before = cpu_seconds(redis.pid)
            stored = [events.decode_event(one) for one in new_bodies(events_each)]
            words = [word for one in stored for word in (mark_of(one.uid), one.data.decode())]
            redis.command("EVALSHA", sha, "2", "events_stream", "{events_stream}:state", *_limits(script), *words)
        assert before is not None
        return (cpu_seconds(redis.pid) - before) / (batches * events_each) * 1e6
    finally:
        redis.stop()


def _limits(script: str) -> tuple[str, ...]:
    return ("200000", "86400", "0") if script is SCRIPT.text else ()


def show(console: Console, parts: Sequence[Part]) -> None:
    """The table."""
    table = Table(title="one event by itself, µs of CPU; best of several runs", title_justify="left")
    table.add_column("step")
    table.add_column("µs", justify="right")
    for part in parts:
        table.add_row(("  of it: " if part.within else "") + part.name, f"{part.us:.2f}")
    console.print(table)


def main() -> None:
    """Measure and show."""
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="pf-parts-") as directory:
        parts = [*decoding(), *uvloop.run(ingesting()), *webhooks(), *consuming(), *appending(Path(directory))]
    console = Console(width=110)
    console.print(describe([]))
    show(console, parts)


if __name__ == "__main__":
    pack(("PING",))  # hiredis is loaded before anything is measured
    main()
