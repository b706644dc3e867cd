"""`payflux bench`: how much a node takes, and how fast it answers."""

import asyncio
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import msgspec
import uvloop
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from payflux.errors import SettingsError
from payflux.load.answers import Report
from payflux.load.corpus.events import BLANK
from payflux.load.generator import LoadGenerator
from payflux.load.node_connection import UrlError
from payflux.load.requests import Requests
from payflux.load.sender import Sender
from payflux.terminal.arguments import Key, KeyFile, batch_problems, key_problems, keys_to_send_with
from payflux.terminal.ending import EXIT_FAILED, EXIT_USAGE, complain, refuse
from payflux.terminal.output import emit_json

LOOK_SECONDS = 0.25
DRAIN_SECONDS = 15.0
PROCESSOR = "bench"
"""Under which processor everything sent here is counted."""

REASONS = {
    "rate_limited": "over the key's rate: raise PAYFLUX_RATELIMIT_RPS and PAYFLUX_RATELIMIT_BURST of the node, "
    "or send less with --rate",
    "unauthorized": "the node does not accept this key: --key must be one of its PAYFLUX_API_KEYS",
    "overloaded": "more events wait for Redis than the node keeps: Redis is the limit, look at its CPU and its disk",
    "too_many_connections": "the node takes no more connections: lower --connections",
    "no_answer": "the connection ended before the answer, or none came in 10 s: look at the log of the node",
}
"""What to do, by the code of a refused request."""


class Result(msgspec.Struct):
    """What the command prints with `--json`; `lag` and `drain_seconds` are null when the node does not say."""

    url: str
    events_per_second: float
    load: Report
    lag: int | None
    drain_seconds: float | None


def bench(
    url: Annotated[str, Parameter(help="The node, http://host:port.")] = "http://127.0.0.1:8080",
    /,
    *,
    key: Key = None,
    key_file: KeyFile = None,
    connections: Annotated[int, Parameter(help="Connections at once, each with one request open.")] = 64,
    seconds: Annotated[float, Parameter(help="How long.")] = 10.0,
    batch: Annotated[int, Parameter(help="Events per request, 1 to 1,000; more than 1 are sent as NDJSON.")] = 1,
    rate: Annotated[
        float | None, Parameter(help="Events per second, constant; by default as many as the node answers.")
    ] = None,
    scored: Annotated[
        bool,
        Parameter(help="Send events that are scored: successes of the processor `bench`, not tests.", negative=""),
    ] = False,
    json: Annotated[bool, Parameter(help="One JSON object on stdout.", negative="")] = False,
) -> int:
    """Measure how many events a node takes, and how fast it answers.

    Distinct events are sent and every answer is counted. They are stored and exported like any other: do this to a node
    whose lines may hold them. They have the `event_type` `test`, so no risk score ever counts them, and the processor
    `bench`. The load generator is one process and takes CPU too: for the limit of a larger node run several, from other
    machines.

    Raise the node's PAYFLUX_RATELIMIT_RPS and PAYFLUX_RATELIMIT_BURST first: with the defaults you measure the limit of
    100 events per second, above that only for the burst of 500 at the beginning.

    Without --rate every connection sends the next request when it has the answer to the last: that finds the most the
    node takes. With --rate requests go out on a schedule, and latency counts from when each was due: that finds how
    fast it answers at a load you expect. Choose the size of a deployment so that your peak is at most half of the most.

    For example:

        payflux bench --key-file payflux.key                          # the most, single events
        payflux bench http://10.0.0.5:8080 --key KEY --batch 100      # the most, batches of 100
        payflux bench --key KEY --rate 5000 --seconds 60              # latency at 5,000 events per second
        payflux bench --key KEY --json | jq .load.p99_ms

    On a terminal it shows its progress; the table at the end goes to stdout. Lag is how many events the consumer had
    not read when the load ended, and how long that took to vanish.

    Exit codes: 0 every event was accepted; 1 some or all were not, or the rate was not reached; 2 wrong usage.
    """
    try:
        keys = keys_to_send_with(key, key_file)
    except SettingsError as error:
        return refuse(error)
    problems = list(_problems(keys, connections, seconds, batch, rate))
    try:
        sender = Sender(url, keys, connections=1)
    except UrlError as error:
        problems.append(str(error))
    if problems:
        sys.stderr.write("".join(f"payflux: {problem}\n" for problem in problems))
        return EXIT_USAGE
    event = BLANK | {
        "event_type": "payment_succeeded" if scored else "test",
        "event_timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event_id": "@",
        "processor": PROCESSOR,
    }
    text = msgspec.json.encode(event).decode()
    form: Literal["single", "ndjson"] = "single" if batch == 1 else "ndjson"
    requests = Requests(text, f"{sender.host}:{sender.port}", keys[0], size=batch, form=form)
    per_second = None if rate is None else rate / batch
    load = LoadGenerator(sender.host, sender.port, requests, connections=connections, seconds=seconds, rate=per_second)
    try:
        result = uvloop.run(_bench(url, sender, load))
    except OSError as error:
        return complain(
            f"{url} cannot be reached: {error.strerror or str(error) or 'no connection in time'}; is the node running?"
        )
    return _show(result, rate, as_json=json)


async def _bench(url: str, sender: Sender, load: LoadGenerator) -> Result:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.finish)  # what was measured until then counts
    with _progress(load):
        report = await load.run()
    ended = time.monotonic()
    async with sender:
        lag = left = await _lag(sender)
        while left and time.monotonic() - ended < DRAIN_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            left = await _lag(sender)
    drained = time.monotonic() - ended if left == 0 else None
    return Result(url, (report.accepted + report.duplicates) / report.seconds, report, lag, drained)


async def _lag(sender: Sender) -> int | None:
    """How many events the consumer has not read; None when the node does not say."""
    try:
        answer = await sender.get("/metrics")
    except OSError:
        return None
    for line in answer.body.splitlines() if answer.status == 200 else ():
        if line.startswith(b"payflux_consumer_lag_messages "):
            value = float(line.split()[1])
            return int(value) if math.isfinite(value) else None
    return None


@contextmanager
def _progress(load: LoadGenerator) -> Iterator[None]:
    """A live line on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    console = Console(stderr=True, highlight=False)
    with Live(get_renderable=_liner(load), console=console, transient=True, refresh_per_second=4):
        yield


def _liner(load: LoadGenerator) -> Callable[[], Text]:
    began = last = time.monotonic()
    counted = 0
    shown = Text()

    def line() -> Text:
        nonlocal last, counted, shown
        now = time.monotonic()
        if now - last >= LOOK_SECONDS:
            answers = load.answers
            stored = answers.accepted + answers.duplicates
            speed, p99 = (stored - counted) / (now - last), answers.latencies.percentile(99) * 1e3
            refused = f" · {answers.rejected:,} refused" if answers.rejected else ""
            text = f"{min(now - began, load.seconds):.0f} of {load.seconds:g} s · {stored:,} events"
            text += f" · {speed:,.0f} a second · p99 {p99:.1f} ms{refused}"
            shown = Text(text, no_wrap=True, overflow="ellipsis")
            last, counted = now, stored
        return shown

    return line


def _show(result: Result, rate: float | None, *, as_json: bool) -> int:
    """Print what was found; returns the exit code."""
    complaints = list(_complaints(result, rate))
    if as_json:
        emit_json(result)
    else:
        Console(highlight=False).print(_table(result))
    for text in complaints:
        complain(text)
    return EXIT_FAILED if complaints else 0


def _table(result: Result) -> Table:
    load = result.load
    table = Table("", result.url)
    table.columns[1].justify = "right"
    rows = {
        "events a second": f"{result.events_per_second:,.0f}",
        "events accepted": f"{load.accepted:,}",
        "requests": f"{load.requests:,}",
        "seconds": f"{load.seconds:.1f}",
        "latency p50, ms": f"{load.p50_ms:.2f}",
        "latency p99, ms": f"{load.p99_ms:.2f}",
        "latency p99.9, ms": f"{load.p999_ms:.2f}",
        "longest, ms": f"{load.max_ms:.2f}",
    }
    rows |= {f"answered {status}": f"{number:,}" for status, number in sorted(load.statuses.items())}
    if result.lag is not None:
        gone = f", gone after {result.drain_seconds:.1f} s" if result.drain_seconds is not None else ", still there"
        rows["lag at the end"] = f"{result.lag:,}" + (gone if result.lag else "")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _complaints(result: Result, rate: float | None) -> Iterator[str]:
    """Why the figures are not what they seem to be, each with what to do."""
    load = result.load
    for code, number in sorted(load.codes.items()):
        yield f"{number:,} x {code}: {REASONS.get(code, 'see the log of the node')}"
    if not load.accepted:
        yield "no event was accepted: there is nothing to see here"
    elif load.duplicates or (load.rejected and not load.codes):
        yield f"{load.duplicates:,} duplicates and {load.rejected:,} refused among distinct, valid events"
    if rate is not None and result.events_per_second < 0.95 * rate:
        yield (
            f"{result.events_per_second:,.0f} events per second were stored, not {rate:,.0f}: the node or this machine "
            f"is too slow for it (the load itself was {load.late_max_ms:,.0f} ms late at worst)"
        )


def _problems(keys: list[str], connections: int, seconds: float, batch: int, rate: float | None) -> Iterator[str]:
    """One line for each thing wrong with the arguments."""
    yield from key_problems(keys)
    if not 1 <= connections <= 4096:
        yield f"--connections {connections}: expected 1 to 4,096"
    if not 0 < seconds < math.inf:
        yield f"--seconds {seconds}: expected more than 0"
    yield from batch_problems(batch)
    if rate is not None and not 0 < rate <= 10_000_000:
        yield f"--rate {rate}: expected more than 0, at most 10,000,000 events per second"
