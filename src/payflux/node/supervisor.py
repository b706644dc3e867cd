"""The supervisor of a node: owns sockets, shared memory and signals, starts children and replaces the dead.

It never touches an event, so it has nothing to fail at.
"""

import asyncio
import errno
import os
import secrets
import signal
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from payflux.alerts import registry as alerts
from payflux.exporters.grouped import running
from payflux.http.listeners import ADMIN_ADDR, HTTP_ADDR, listen
from payflux.ingest.gatekeeper import keys_of
from payflux.ingest.token_bucket import BUCKETS
from payflux.log import count_dropped, log
from payflux.node.exporting import destinations_of, exporter_slab
from payflux.node.member import Member
from payflux.node.plan import END, GIVEN, NAME_TAKEN, READY, REOPEN, children_of, plans_of
from payflux.node.settings import CONSUMER_NAME, PANIC_MODE, WORKERS, quoted_secrets
from payflux.settings import Role, Values
from payflux.telemetry.metrics import (
    CHILD_DEATHS,
    LOG_LINES_DROPPED,
    Metrics,
    create_slab,
    give_destinations,
    give_receivers,
)
from payflux.telemetry.notes import SUPERVISOR
from payflux.telemetry.slab import Slab
from payflux.webhooks.registry import live

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
DEATHS, DEATH_SECONDS = 5, 60.0
BACKOFF_SECONDS = (0.1, 5.0)
EXPORTER_BACKOFF_SECONDS = 30.0
REOPEN_SECONDS = 0.1  # hang-ups that come together count as one
HURRY_SECONDS = 1.0  # signals that come together count as one; a later one hurries
INGEST_SECONDS, CONSUMER_SECONDS = 12.0, 14.0  # together with what follows below the 30 s of a shutdown
HINTS = {
    errno.EADDRINUSE: "another program listens there, perhaps another node: set",
    errno.EACCES: "ports below 1024 take a privilege: set another one,",
}


class _CannotListen(Exception):
    """An address cannot be used."""

    def __init__(self, name: str, address: tuple[str, int], error: OSError) -> None:
        super().__init__(str(error))
        self.address = "{}:{}".format(*address)
        self.hint = f"{HINTS.get(error.errno or 0, 'set an address of this machine,')} {name}"


def default_workers() -> int:
    """Half the CPUs this process may use, 1 to 8: the consumer and Redis need the others."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, IndexError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        cpus = min(cpus, max(1, round(int(quota) / int(period))))
    return max(1, min(8, cpus // 2))


class Supervisor:
    """A node from its start to its end.

    Args:
        values: its settings.
        role: what its children do.
        on_ready: called once with the address, when every child is at work.
    """

    def __init__(self, values: Values, role: Role, on_ready: Callable[[str, int], None] | None = None) -> None:
        self._values, self._role, self._on_ready = values, role, on_ready
        self._workers = (values[WORKERS] or default_workers()) if role in {"all", "ingest"} else 0
        self._exporters = running(values) if role in {"all", "export"} else ()
        self._members: list[Member] = []
        self._watching: set[asyncio.Task[None]] = set()
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._exporters_deaths: defaultdict[str, list[float]] = defaultdict(list)
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stopping_since: float | None = None
        self._reopening = False
        self._address = ("", 0)

    async def run(self) -> int:
        """Start the node and keep it until a signal ends it; returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        try:
            self._prepare()
        except _CannotListen as error:
            log("error", "cannot_listen", address=error.address, detail=str(error), hint=error.hint)
            return EXIT_CONFIGURATION
        for member in self._members:
            await self._start(member)
        code = await self._done
        await self._stop()
        return code

    def _prepare(self) -> None:
        host = self._values[HTTP_ADDR][0]
        listeners = self._listen(HTTP_ADDR.name, self._values[HTTP_ADDR])
        admin: list[list[socket.socket]] = []
        if (address := self._values[ADMIN_ADDR]) is not None:
            admin = self._listen(ADMIN_ADDR.name, address)
        self._sockets = [sock for sockets in (*listeners, *admin) for sock in sockets]
        self._port = self._sockets[0].getsockname()[1]
        self._address = (f"[{host}]" if ":" in host else host, self._port)
        [own] = listen(("127.0.0.1", 0), 1)[0]
        self._sockets.append(own)
        children = children_of(self._role, self._workers, self._exporters, alerts=bool(alerts.used(self._values)))
        self._slab = self._make_slab(children)
        self._exporters_slabs = {name: exporter_slab(self._values) for name in self._exporters}
        self._metrics = metrics = Metrics(self._slab, SUPERVISOR)
        count_dropped(lambda lines: metrics.add(LOG_LINES_DROPPED, n=lines))
        plans = plans_of(
            children,
            slab=self._slab.fd,
            listeners=_descriptors(listeners),
            admin=_descriptors(admin),
            stdout=_take_stdout(),
            exporters={name: slab.fd for name, slab in self._exporters_slabs.items()},
            token=secrets.token_hex(16),
            operations=(own.fileno(), own.getsockname()[1]),
            consumer=self._values[CONSUMER_NAME] or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        )
        self._members = [Member(plan) for plan in plans]

    def _listen(self, name: str, address: tuple[str, int]) -> list[list[socket.socket]]:
        """Sockets that stay open here: what is queued for a dead child waits for the next."""
        try:
            return listen(address, max(1, self._workers))
        except OSError as error:
            raise _CannotListen(name, address, error) from None

    def _make_slab(self, children: Sequence[str]) -> Slab:
        sources = len(live(self._values))
        given = msgspec.json.encode(self._values.handed_on())
        sizes = {BUCKETS: 8 * (len(keys_of(self._values)) + sources), GIVEN: len(given)}
        slab = create_slab([SUPERVISOR, *children], appenders=1 + sources, **sizes)
        slab.bytes(GIVEN)[:] = given
        give_destinations(slab, destinations_of(self._values))
        give_receivers(slab, list(alerts.used(self._values)))
        return slab

    async def _start(self, member: Member) -> None:
        process = await member.start(self._hear)
        log("info", "child_started", child=member.plan.child, pid=process.pid)
        task = asyncio.create_task(self._watch(member, process))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        if self._stopping_since is not None:
            member.tell(END)

    async def _watch(self, member: Member, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        member.ended()
        if self._stopping_since is not None:
            log("info", "child_ended", child=member.plan.child, code=code)
            return
        log("error", "child_died", child=member.plan.child, pid=process.pid, code=code)
        self._metrics.add(CHILD_DEATHS)
        if (member.plan.exports or member.plan.alerts) and code != NAME_TAKEN:
            await self._replace_exporter(member)
            return
        self._deaths.append(time.monotonic())
        if code == NAME_TAKEN:
            log("error", "shutdown_initiated", reason="consumer name in use: set another PAYFLUX_CONSUMER_NAME")
            self._end(EXIT_CONFIGURATION)
        elif self._recent_deaths() >= DEATHS and self._values[PANIC_MODE] == "crash":
            log("error", "shutdown_initiated", reason=f"{DEATHS} deaths of children in {DEATH_SECONDS:.0f} s")
            self._end(EXIT_FAILED)
        else:
            await self._replace(member)

    def _recent_deaths(self) -> int:
        return sum(time.monotonic() - death < DEATH_SECONDS for death in self._deaths)

    async def _replace(self, member: Member) -> None:
        recent = self._recent_deaths()
        self._metrics.notes.fail(failing=recent >= DEATHS)
        await asyncio.sleep(min(BACKOFF_SECONDS[1], BACKOFF_SECONDS[0] * 2 ** (recent - 1)))
        if self._stopping_since is None:
            await self._start(member)
            asyncio.get_running_loop().call_later(DEATH_SECONDS, self._look_again)

    async def _replace_exporter(self, member: Member) -> None:
        """However often it dies: what it exports or tells waits in Redis, and the node does its work without it."""
        now, deaths = time.monotonic(), self._exporters_deaths[member.plan.exports]
        deaths[:] = [death for death in deaths if now - death < DEATH_SECONDS] + [now]
        await asyncio.sleep(min(EXPORTER_BACKOFF_SECONDS, BACKOFF_SECONDS[0] * 2 ** len(deaths)))
        if self._stopping_since is None:
            await self._start(member)

    def _look_again(self) -> None:
        self._metrics.notes.fail(failing=self._recent_deaths() >= DEATHS)

    def _hear(self, member: Member) -> None:
        """A child passes on what it was told by a signal, or says that it is at work."""
        word = member.heard()
        if END in word and self._stopping_since is None:  # a child may pass on late what all of us were told at once
            self._terminate()
        if REOPEN in word:
            self._hang_up()
        if READY in word:
            self._all_ready()

    def _all_ready(self) -> None:
        if self._on_ready is not None and all(member.ready for member in self._members if not member.plan.operates):
            on_ready, self._on_ready = self._on_ready, None
            log("info", "node_started", address="{}:{}".format(*self._address), workers=self._workers, role=self._role)
            on_ready(self._address[0] or "localhost", self._port)

    def _hang_up(self) -> None:
        if not self._reopening and self._stopping_since is None:
            self._reopening = True
            asyncio.get_running_loop().call_later(REOPEN_SECONDS, self._reopen)

    def _reopen(self) -> None:
        self._reopening = False
        for member in self._members:
            if member.plan.consumes:
                member.tell(REOPEN)

    def _terminate(self) -> None:
        if self._stopping_since is None:
            log("info", "shutdown_initiated", reason="signal")
            self._end(0)
        elif time.monotonic() - self._stopping_since > HURRY_SECONDS:
            log("warning", "shutdown_hurried")
            self._kill()

    def _end(self, code: int) -> None:
        self._stopping_since = time.monotonic()
        if not self._done.done():
            self._done.set_result(code)

    async def _stop(self) -> None:
        """Ingestion ends first, so that the consumer sees what was accepted last."""
        for sock in self._sockets:
            sock.close()  # the children have copies; when theirs are closed too, a new connection is refused
        ingesting = [member for member in self._members if member.plan.ingests]
        consuming = [member for member in self._members if not member.plan.ingests]
        for members, seconds in ((ingesting, INGEST_SECONDS), (consuming, CONSUMER_SECONDS)):
            for member in members:
                member.tell(END)
            waiting = [member.process.wait() for member in members if member.process is not None]
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*waiting), seconds)
        self._kill()
        await asyncio.gather(*self._watching, return_exceptions=True)
        log("info", "shutdown_complete")

    def _kill(self) -> None:
        for member in self._members:
            if member.kill():
                log("warning", "child_killed", child=member.plan.child)


def _descriptors(sets: Sequence[Sequence[socket.socket]]) -> list[tuple[int, ...]]:
    return [tuple(sock.fileno() for sock in sockets) for sockets in sets]


def _take_stdout() -> int:
    """A descriptor of the node's stdout, which the consumer alone writes to; ours leads nowhere from now on."""
    stdout = os.dup(1)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
    return stdout


def supervise(values: Values, role: Role, on_ready: Callable[[str, int], None] | None = None) -> int:
    """Run a node until a signal ends it.

    Args:
        values: its settings.
        role: `all`, `ingest`, `consume` or `export`.
        on_ready: called with host and port when the node is at work.

    Returns:
        The exit code: 0 after a signal, 1 when its parts kept dying, 2 when it cannot start.
    """
    for warning in values.warnings:
        log("warning", "unknown_variable", detail=warning)
    for warning in quoted_secrets(values):
        log("warning", "quoted_secret", detail=warning)

    async def main() -> int:
        return await Supervisor(values, role, on_ready or (lambda _host, _port: None)).run()

    return asyncio.run(main())
