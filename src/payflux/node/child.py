"""One child process of a node: it starts its parts, runs them until it is told to end, and ends them in order.

Run as `python -m payflux.node.child PLAN`; the supervisor starts it so and owns every descriptor named in the plan. It
knows nothing of how pages for operators are made: that takes a tenth of a start, and is for `operating` to do.
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
from typing import NoReturn

import msgspec
import uvloop

from payflux.alerts.desk import Desk
from payflux.consume.consumer import Consumer
from payflux.errors import ConsumerNameTaken
from payflux.exporters.fanout import FanOut
from payflux.http.server import HttpServer
from payflux.log import count_dropped, in_background, log
from payflux.node.composition import (
    appender_of,
    consumer_of,
    desk_of,
    servers_of,
    webhook_appenders_of,
)
from payflux.node.exporting import exporter_of
from payflux.node.plan import END, GIVEN, NAME_TAKEN, READY, REOPEN, Plan
from payflux.node.settings import load_settings
from payflux.redis.address import address_of
from payflux.redis.append import RedisAppender
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.settings import Values
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import HTTP_CONNECTIONS, LOG_LINES_DROPPED, Metrics
from payflux.telemetry.slab import Slab

FAILED = 1
COLLECT = 50_000, 20, 50  # a batch of a thousand events is no garbage in cycles, and not worth looking through
YIELD = 10
"""How far ingest and exporters step back behind the consumer of their node, in steps of niceness: where there is too
little CPU for all, producers can wait a little longer, and what nobody reads in time is trimmed."""
TRY_SECONDS = 1.0
FINISH_SECONDS = 10.0  # for requests in flight, and again for lines in the queues


Answering = Callable[..., list[tuple[HttpServer, tuple[int, ...]]]]
"""Makes a child's HTTP servers, as `servers_of` does."""


class Child:
    """One child process.

    Args:
        plan: of it.
        values: the settings of the node.
        answering: makes its HTTP servers.
    """

    def __init__(self, plan: Plan, values: Values, answering: Answering = servers_of) -> None:
        self._plan, self._values = plan, values
        self._metrics = metrics = Metrics(Slab(plan.slab), plan.child)
        count_dropped(lambda lines: metrics.add(LOG_LINES_DROPPED, n=lines))
        self._ending = asyncio.Event()
        self._appender = appender_of(plan, values, metrics, self._producers)
        self._webhooks = webhook_appenders_of(plan, values, metrics, self._producers)
        self._admin = RedisMonitor(address_of(values), Keys(), GROUP)
        self._servers = answering(plan, values, metrics, self._appender, self._admin, webhooks=self._webhooks)
        self._fan_out: FanOut | None = None
        self._consumer: Consumer | None = None
        self._desk: Desk | None = None
        self._control = socket.socket(fileno=plan.control)

    def _appenders(self) -> list[RedisAppender]:
        """Its write paths; who answers nobody needs none."""
        return [self._appender, *self._webhooks.values()] if self._servers else []

    def _producers(self) -> int:
        return self._servers[0][0].connections if self._servers else 0

    async def run(self) -> int:
        """Work until told to end; returns the exit code."""
        self._obey()
        if self._plan.operates or self._plan.exports or (self._plan.ingests and self._plan.node_consumes):
            with suppress(OSError):  # forbidden by a sandbox
                os.nice(YIELD)
        tasks = self._begin()
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process: never look at it again
        gc.set_threshold(*COLLECT)
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({*tasks, ending}, return_when=asyncio.FIRST_COMPLETED)
        try:
            for task in [task for task in tasks if task.done()]:
                task.result()  # none of them returns by itself: it raised
        except ConsumerNameTaken as error:
            log("error", error.code, consumer=self._plan.consumer, detail=str(error))
            return NAME_TAKEN
        await self._finish(tasks)
        return 0

    def _begin(self) -> set[asyncio.Task[None]]:
        tasks = {asyncio.create_task(appender.run()) for appender in self._appenders()}
        if self._servers:
            tasks.add(asyncio.create_task(self._serve()))
        if self._plan.consumes or self._plan.exports:
            make = exporter_of if self._plan.exports else consumer_of
            self._consumer, self._fan_out = make(self._plan, self._values, self._metrics)
            tasks.add(asyncio.create_task(self._consumer.run()))
        if self._plan.alerts:
            self._desk = desk_of(self._plan, self._values, self._metrics)
            tasks.add(asyncio.create_task(self._desk.run()))
        if not self._servers:
            self._tell(READY)
        return tasks

    async def _serve(self) -> None:
        # Or the first events would be refused although Redis is up.
        await asyncio.gather(*(appender.tried(TRY_SECONDS) for appender in self._appenders()))
        for server, listeners in self._servers:
            await server.start(*(socket.socket(fileno=fd) for fd in listeners))
        log("info", "listening", child=self._plan.child)
        self._tell(READY)
        slot = self._metrics.slot(HTTP_CONNECTIONS)
        while True:
            if not self._plan.operates:  # its connections are those of the others
                self._metrics.values[slot] = sum(server.connections for server, _ in self._servers)
            await asyncio.sleep(1.0)

    async def _finish(self, tasks: set[asyncio.Task[None]]) -> None:
        """In order: no new requests, finish those begun, no new batch, export what was acked, leave."""
        await asyncio.gather(*(server.stop(FINISH_SECONDS) for server, _ in self._servers))
        await asyncio.gather(*(appender.drain() for appender in self._appenders()))
        if self._consumer is not None and self._fan_out is not None:
            self._consumer.stop()
            await asyncio.wait(tasks, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.get_running_loop().run_in_executor(None, self._fan_out.end, FINISH_SECONDS)
            await self._consumer.leave()
        if self._desk is not None:
            self._desk.stop()
            await asyncio.wait(tasks, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await self._desk.leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for appender in self._appenders():
            appender.close()
        self._admin.close()

    def _obey(self) -> None:
        """Take the supervisor's word, and pass every signal on to it: a signal to any process concerns the node."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control, self._hear)
        for number, word in ((signal.SIGTERM, END), (signal.SIGINT, END), (signal.SIGHUP, REOPEN)):
            loop.add_signal_handler(number, self._tell, word)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

    def _hear(self) -> None:
        try:
            word = self._control.recv(16)
        except OSError:  # it died before it read what we told it
            word = b""
        if REOPEN in word and self._fan_out is not None:
            self._fan_out.reopen()
        if END in word or not word:  # told to end, or the supervisor is gone
            asyncio.get_running_loop().remove_reader(self._control)
            self._ending.set()

    def _tell(self, word: bytes) -> None:
        try:
            self._control.send(word)
        except OSError:
            self._ending.set()


async def _run(plan: Plan, answering: Answering) -> int:
    given = msgspec.json.decode(Slab(plan.slab).bytes(GIVEN), type=dict[str, str])
    return await Child(plan, load_settings(environ=given, handed_on=True), answering).run()


def main(answering: Answering) -> NoReturn:
    """Run the child whose plan is the first argument of the command line to its end, and exit with its code.

    Args:
        answering: makes its HTTP servers.
    """
    with in_background():
        try:
            code = uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=Plan), answering))
        except Exception as failure:  # noqa: BLE001 - it belongs into the log, which is JSON
            log("error", "child_failed", error=type(failure).__name__, traceback=traceback.format_exc(limit=-5))
            code = FAILED
    os._exit(code)  # a thread that hangs in a write to a stalled reader must not keep the process


if __name__ == "__main__":
    main(servers_of)
