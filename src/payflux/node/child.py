"""Composition root of one child process of a node: constructs everything in it, and runs it until told to end.

Run as `python -m payflux.node.child PLAN`; the supervisor starts it so and owns every descriptor named in the plan.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from payflux.consume.consumer import CLAIM_IDLE_SEC, MAX_DELIVERIES, Consumer
from payflux.consume.line import Enricher
from payflux.errors import ConsumerNameTaken
from payflux.event.intake import BATCH_PATH, EVENT_PATH
from payflux.event.outcome import OUTCOMES
from payflux.exporters import Exporter, exporter_class
from payflux.exporters.fanout import EXPORT_FILE, EXPORT_MODE, EXPORT_QUEUE_BYTES, FanOut, fan_out, former_settled
from payflux.exporters.stdout import StdoutExporter
from payflux.http.listeners import HTTP_ADDR
from payflux.http.messages import Handler
from payflux.http.router import Router
from payflux.http.server import HttpServer
from payflux.ingest.batch import IngestBatch
from payflux.ingest.counters import CutShortCounter
from payflux.ingest.gatekeeper import API_KEY, API_KEYS, Gatekeeper, check_a_key, check_keys, keys_of
from payflux.ingest.single import Ingest
from payflux.ingest.token_bucket import RATELIMIT_BURST, RATELIMIT_RPS, TokenBucket
from payflux.log import count_dropped, in_background, log
from payflux.operations import checkout, health, openapi
from payflux.redis.address import REDIS_ADDR, REDIS_URL, address_of, check_address
from payflux.redis.append import DEDUP_TTL_SEC, STREAM_MAXLEN, RedisAppender
from payflux.redis.follow import RedisReader
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.risk.scorer import RISK_SCORE_ENABLED, RISK_SCORE_THRESHOLDS, RISK_SCORE_WINDOW_SEC, RiskScorer
from payflux.settings import Setting, Values, choice, environment, integer, load, optional
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import (
    CHILD,
    CONSUMER_ACTIVE,
    DESTINATIONS,
    HTTP_CONNECTIONS,
    LOG_LINES_DROPPED,
    OF_THE_ACTIVE,
    Metrics,
    state_slot,
)
from payflux.telemetry.slab import Slab

NAME_TAKEN = 3
"""Exit code of a child that cannot start: its consumer name is in use; replacing it would not help."""
FAILED = 1
COLLECT = 50_000, 20, 50  # a batch of a thousand events is no garbage in cycles, and not worth looking through
YIELD = 10
"""How far ingest steps back behind the consumer of its node, in steps of niceness: where there is too little CPU for
both, producers can wait a little longer, and what nobody reads in time is trimmed."""
TRY_SECONDS = 1.0
FINISH_SECONDS = 10.0  # for requests in flight, and again for lines in the queues


def _name(text: str) -> str:
    if len(text) > 200 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("at most 200 printable ASCII characters without blanks")
    return text


WORKERS = optional("PAYFLUX_WORKERS", integer(1, 256), "Ingest processes; unset: half the CPUs, 1 to 8.")
CONSUMER_NAME = optional("PAYFLUX_CONSUMER_NAME", _name, "Consumer name in the group; unset: host-pid-random.")
PANIC_MODE = Setting(
    "PAYFLUX_PANIC_MODE",
    choice("crash", "recover"),
    "crash",
    "After 5 deaths of child processes in 60 s: exit (crash), or keep trying, unready (recover).",
)
EXPORT_ACK = Setting(
    "PAYFLUX_EXPORT_ACK",
    choice("ack_then_export", "export_then_ack"),
    "ack_then_export",
    "Whether an event is acked before it is exported, or only when it is safe in the file (written and fsynced).",
)

SETTINGS: tuple[Setting[Any], ...] = (
    *(API_KEYS, API_KEY, REDIS_ADDR, REDIS_URL, HTTP_ADDR, WORKERS, CONSUMER_NAME),
    *(RATELIMIT_RPS, RATELIMIT_BURST, STREAM_MAXLEN, DEDUP_TTL_SEC, PANIC_MODE),
    *(EXPORT_MODE, EXPORT_FILE, EXPORT_ACK, EXPORT_QUEUE_BYTES, CLAIM_IDLE_SEC, MAX_DELIVERIES),
    *(OUTCOMES, RISK_SCORE_ENABLED, RISK_SCORE_WINDOW_SEC, RISK_SCORE_THRESHOLDS),
    *checkout.SETTINGS,
)
"""Every setting of a node."""


def _check_export(values: Values) -> list[str]:
    mode, path, ack = values[EXPORT_MODE], values[EXPORT_FILE], values[EXPORT_ACK]
    problems = []
    if mode != "stdout" and path is None:
        problems.append(f"PAYFLUX_EXPORT_FILE: expected a path, as PAYFLUX_EXPORT_MODE is {mode}")
    if mode != "stdout" and path is not None and not _writable(path):
        problems.append(f"PAYFLUX_EXPORT_FILE={path!r}: expected a file this user can write")
    if ack == "export_then_ack" and mode != "file":
        problems.append(
            f"PAYFLUX_EXPORT_ACK='export_then_ack': expected PAYFLUX_EXPORT_MODE=file, as {mode} can't confirm"
        )
    return problems


def _writable(path: str) -> bool:
    file = Path(path)
    if file.is_dir():
        return False
    return os.access(file, os.W_OK) if file.exists() else os.access(file.parent, os.W_OK)


def load_settings(*, serves: bool = True) -> Values:
    """Read and check the environment of a node.

    Args:
        serves: it is to be served; who only looks at it needs no key.

    Raises:
        SettingsError: naming every problem.
    """
    needed = (check_a_key, checkout.check_checkout) if serves else ()
    return load(SETTINGS, environment(), (*needed, check_keys, check_address, _check_export))


class Plan(msgspec.Struct):
    """What the supervisor tells a child: who it is and which descriptors it was given.

    Attributes:
        child: its name, and that of its section in the slab.
        slab: descriptor of the shared memory.
        control: descriptor of the socket to the supervisor.
        listener: descriptor of a listening socket; -1 for none.
        stdout: descriptor of the node's stdout; -1 for none.
        ingests: it takes events in.
        consumes: it is the consumer.
        workers: how many ingest processes the node has.
        node_consumes: the node has a consumer.
        token: what tells this node from every other one.
        consumer: name in the group.
    """

    child: str
    slab: int
    control: int
    listener: int
    stdout: int
    ingests: bool
    consumes: bool
    workers: int
    node_consumes: bool
    token: str
    consumer: str


class Child:
    """One child process."""

    def __init__(self, plan: Plan, values: Values) -> None:
        self._plan, self._values = plan, values
        self._slab = Slab(plan.slab)
        self._metrics = metrics = Metrics(self._slab, plan.child)
        count_dropped(lambda lines: metrics.add(LOG_LINES_DROPPED, n=lines))
        self._address, self._keys = address_of(values), Keys()
        self._ending = asyncio.Event()
        self._appender = self._make_appender()
        self._admin = RedisMonitor(self._address, self._keys, GROUP)
        self._server = self._make_server() if plan.listener >= 0 else None
        self._fan_out: FanOut | None = None
        self._consumer: Consumer | None = None
        self._control = socket.socket(fileno=plan.control)

    def _make_appender(self) -> RedisAppender:
        slot = state_slot("highest_seq")
        sections = [self._slab.doubles(name) for name in self._slab.names() if name.startswith(CHILD)]
        own = self._metrics.values

        def told() -> int:
            return int(max(section[slot] for section in sections))

        def heard(seq: int) -> None:
            if seq < own[slot]:  # another worker may know a higher one; only a step back of our own is a loss
                for section in sections:
                    section[slot] = 0.0
            own[slot] = float(seq)

        return RedisAppender(
            self._address,
            self._keys,
            maxlen=self._values[STREAM_MAXLEN],
            window_sec=self._values[DEDUP_TTL_SEC],
            told=told,
            heard=heard,
            producers=lambda: self._server.connections if self._server is not None else 0,
        )

    def _make_server(self) -> HttpServer:
        return HttpServer(Router(self._routes()), refused=CutShortCounter(self._metrics, (EVENT_PATH, BATCH_PATH)))

    def _routes(self) -> dict[str, dict[str, Handler]]:
        plan, values = self._plan, self._values
        routes = health.routes(
            health.Readiness(self._appender.probe, self._slab, consumes=plan.node_consumes),
            health.Scrape(self._slab, self._admin),
            health.ExportHealth(self._slab, values[EXPORT_MODE], consumes=plan.node_consumes),
        )
        if plan.ingests:
            bucket = TokenBucket(values[RATELIMIT_RPS], values[RATELIMIT_BURST], self._slab, alone=plan.workers == 1)
            gatekeeper = Gatekeeper(keys_of(values), bucket)
            routes[EVENT_PATH] = {"POST": Ingest(self._appender, gatekeeper, self._metrics)}
            routes[BATCH_PATH] = {"POST": IngestBatch(self._appender, gatekeeper, self._metrics)}
            if values[checkout.CHECKOUT_ENABLED]:
                sessions = checkout.StripeSessions(checkout.offer_of(values))
                routes["/checkout"] = {"POST": checkout.Checkout(gatekeeper, self._metrics, sessions.open)}
        return routes | openapi.route(routes)

    def _make_consumer(self) -> Consumer:
        plan, values, metrics = self._plan, self._values, self._metrics
        mode = values[EXPORT_MODE]
        for gauge in (CONSUMER_ACTIVE, *OF_THE_ACTIVE):
            metrics.blank(gauge)  # what a former process of this child left says nothing of this one
        names = DESTINATIONS if mode == "both" else (mode,)
        settled = former_settled(metrics, names)
        torn = bool(metrics.values[metrics.state("writing:stdout")])
        self._fan_out = fan_out(
            {name: self._exporter(name, torn=torn) for name in names}, metrics, values[EXPORT_QUEUE_BYTES]
        )
        scorer = None
        if values[RISK_SCORE_ENABLED]:
            scorer = RiskScorer(values[RISK_SCORE_WINDOW_SEC], values[RISK_SCORE_THRESHOLDS])
        return Consumer(
            RedisReader(self._address, self._keys, GROUP, plan.consumer, plan.token),
            Enricher(plan.consumer, scorer, metrics, values[OUTCOMES]),
            self._fan_out,
            metrics,
            token=plan.token,
            claim_idle=values[CLAIM_IDLE_SEC],
            max_deliveries=values[MAX_DELIVERIES],
            export_first=values[EXPORT_ACK] == "export_then_ack",
            former_settled=settled,
        )

    def _exporter(self, name: str, *, torn: bool) -> Exporter:
        if name != "stdout":
            return exporter_class(name)(self._values[EXPORT_FILE] or "")
        exporter = StdoutExporter(fd=self._plan.stdout)
        if torn:
            exporter.end_torn_line()
        return exporter

    async def run(self) -> int:
        """Work until told to end; returns the exit code."""
        self._obey()
        if self._plan.ingests and self._plan.node_consumes:
            with suppress(OSError):  # forbidden by a sandbox
                os.nice(YIELD)
        tasks = {asyncio.create_task(self._appender.run())}
        if self._server is not None:
            tasks.add(asyncio.create_task(self._serve(self._server)))
        if self._plan.consumes:
            self._consumer = self._make_consumer()
            tasks.add(asyncio.create_task(self._consumer.run()))
            if self._server is None:
                self._tell(b"r")
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process: never look at it again
        gc.set_threshold(*COLLECT)
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({*tasks, ending}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task.done()]
        try:
            for task in failed:
                task.result()  # none of them returns by itself: it raised
        except ConsumerNameTaken as error:
            log("error", error.code, consumer=self._plan.consumer, detail=str(error))
            return NAME_TAKEN
        await self._finish(tasks)
        return 0

    async def _serve(self, server: HttpServer) -> None:
        await self._appender.tried(TRY_SECONDS)  # or the first events would be refused although Redis is up
        await server.start(socket.socket(fileno=self._plan.listener))
        log("info", "listening", child=self._plan.child)
        self._tell(b"r")
        slot = self._metrics.slot(HTTP_CONNECTIONS)
        while True:
            self._metrics.values[slot] = server.connections
            await asyncio.sleep(1.0)

    async def _finish(self, tasks: set[asyncio.Task[None]]) -> None:
        """In order: no new requests, finish those begun, no new batch, export what was acked, leave."""
        if self._server is not None:
            await self._server.stop(FINISH_SECONDS)
        await self._appender.drain()
        if self._consumer is not None and self._fan_out is not None:
            self._consumer.stop()
            await asyncio.wait(tasks, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.get_running_loop().run_in_executor(None, self._fan_out.end, FINISH_SECONDS)
            await self._consumer.leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._appender.close()
        self._admin.close()

    def _obey(self) -> None:
        """Take the supervisor's word, and pass every signal on to it: a signal to any process concerns the node."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control, self._hear)
        for number, word in ((signal.SIGTERM, b"t"), (signal.SIGINT, b"t"), (signal.SIGHUP, b"h")):
            loop.add_signal_handler(number, self._tell, word)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

    def _hear(self) -> None:
        try:
            word = self._control.recv(16)
        except OSError:  # it died before it read what we told it
            word = b""
        if b"h" in word and self._fan_out is not None:
            self._fan_out.reopen()
        if b"t" in word or not word:  # told to end, or the supervisor is gone
            asyncio.get_running_loop().remove_reader(self._control)
            self._ending.set()

    def _tell(self, word: bytes) -> None:
        try:
            self._control.send(word)
        except OSError:
            self._ending.set()


async def _main(plan: Plan) -> int:
    return await Child(plan, load_settings()).run()


def run(plan: Plan, run_loop: Callable[..., int] = uvloop.run) -> int:
    """Run one child to its end; returns the exit code."""
    return run_loop(_main(plan))


if __name__ == "__main__":
    with in_background():
        try:
            code = run(msgspec.json.decode(sys.argv[1], type=Plan))
        except Exception as failure:  # noqa: BLE001 - it belongs into the log, which is JSON
            log("error", "child_failed", error=type(failure).__name__, traceback=traceback.format_exc(limit=-5))
            code = FAILED
    os._exit(code)  # a thread that hangs in a write to a stalled reader must not keep the process
