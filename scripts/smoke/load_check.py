"""Load check of a running node: sends events and proves that each accepted one came out exactly once, unchanged.

The node must be idle but for this check, as its metrics are compared for equality; lines of other events in LINES are
ignored. At the default rate of 100 events/s per key, 10,000 events take about 110 s with one key; several keys add up.
Exit codes: 0 PASS, 1 FAIL, 2 wrong usage or a node that cannot be reached.
"""

import argparse
import asyncio
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS
from payflux.event.intake import Form
from payflux.load.attempts import Attempt, Item
from payflux.load.corpus.events import Event
from payflux.load.node_connection import AnswerError, UrlError
from payflux.load.sender import Sender
from payflux.load.traffic import Traffic

STORED = ("accepted", "duplicate", "stored")
FRESH, IMMEDIATE, LATER, INVALID = 92, 2, 3, 3
"""What a block of a hundred events is made of; every third of the later duplicates is in upper case."""
FORMS: tuple[Form, ...] = ("single", "array", "single", "ndjson")
FAULTS = ("bad_uuid", "missing", "pan", "too_long", "bad_json")
DEFAULTS: Event = dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0}
POLL_SECONDS = 0.2
Job = tuple[Form, list[Item]]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Plan(NamedTuple):
    """What to send: the requests, each valid event as it must come out by its id, and how many events are invalid."""

    jobs: list[Job]
    expected: dict[str, Event]
    invalid: int


class Finding(NamedTuple):
    """One check; `examples` names a few culprits."""

    name: str
    expected: str
    found: str
    ok: bool
    examples: str = ""


def plan(seed: int, start: float, events: int) -> Plan:
    """Lay out a run: half single, half in batches of a hundred, with duplicates and invalid events among them."""
    random = Random(seed)
    source = (event for _, event in Traffic(seed, start).arrivals(rate=1000))
    jobs: list[Job] = []
    expected: dict[str, Event] = {}
    invalid = 0
    for number in range(math.ceil(events / FRESH)):
        form = FORMS[number % len(FORMS)]
        fresh = [_vary(event, random) for event in islice(source, min(FRESH, events - number * FRESH))]
        expected |= {str(event["event_id"]): _canonical(event) for event in fresh}
        items = [item for at, event in enumerate(fresh) for item in [_item(event)] * (2 if at < IMMEDIATE else 1)]
        earlier = random.choices(list(expected.values()), k=LATER)
        items += [_item(event, upper=at % 3 == 0) for at, event in enumerate(earlier)]
        faults = FAULTS if form == "single" else FAULTS[:-1]  # bad JSON makes a whole array unreadable
        wrong = [_invalid(event, random.choice(faults)) for event in islice(source, INVALID)]
        for item in wrong:
            items.insert(random.randrange(len(items)), item)
        invalid += len(wrong)
        jobs += [(form, [item]) for item in items] if form == "single" else [(form, items)]
    return Plan(jobs, expected, invalid)


def _vary(event: Event, random: Random) -> Event:
    """Some producers leave members out, some send unknown ones."""
    if random.random() < 0.2:
        event = {name: value for name, value in event.items() if name not in ("failure_origin", "channel", "currency")}
    return event | {"unknown_member": "ignored"} if random.random() < 0.2 else event


def _canonical(event: Event) -> Event:
    return DEFAULTS | {name: value for name, value in event.items() if name in (*EVENT_FIELDS, *ADDITIVE_FIELDS)}


def _item(event: Event, *, upper: bool = False) -> Item:
    event_id = str(event["event_id"])
    return Item(event_id, msgspec.json.encode(event | {"event_id": event_id.upper()} if upper else event))


def _invalid(event: Event, fault: str) -> Item:
    changes: dict[str, Event] = {
        "bad_uuid": {"event_id": f"not-a-uuid-{event['event_id']}"},
        "pan": {"merchant_id_hash": "4111 1111 1111 1111"},
        "too_long": {"channel": "x" * 101},
    }
    body = msgspec.json.encode(event | changes.get(fault, {}))
    if fault == "missing":
        body = msgspec.json.encode({name: value for name, value in event.items() if name != "processor"})
    return Item(str(event["event_id"]), body[:-1] if fault == "bad_json" else body)


class Sums(NamedTuple):
    """The client log summed up: ids that the node says it has, attempts of unknown result, rejections, 429 answers."""

    stored: Counter[str]
    perhaps: int
    rejected: int
    limited: int


def sum_up(attempts: Sequence[Attempt]) -> Sums:
    """Count a client log."""
    return Sums(
        stored=Counter(attempt.event_id for attempt in attempts if attempt.verdict in STORED),
        perhaps=sum(attempt.verdict == "unknown" for attempt in attempts),
        rejected=sum(attempt.verdict == "rejected" and attempt.settled for attempt in attempts),
        limited=len({attempt.request for attempt in attempts if attempt.status == 429}),
    )


def check_answers(expected: dict[str, Event], invalid: int, attempts: Sequence[Attempt]) -> Iterator[Finding]:
    """Whether the node answered as it must; fails when nothing was sent or accepted."""
    sums = sum_up(attempts)
    stored = sums.stored.keys()
    called_new = Counter(a.event_id for a in attempts if a.verdict in ("accepted", "stored"))
    accepted = Counter(a.event_id for a in attempts if a.verdict == "accepted")
    refused = {a.event_id for a in attempts if a.verdict == "rejected" and a.settled}
    doubtful = {a.event_id for a in attempts if a.verdict == "unknown"}
    yield _equal("valid events stored", max(len(expected), 1), len(stored & expected.keys()))
    yield _equal("invalid events rejected", invalid, sums.rejected)
    yield _none("valid events rejected", refused & expected.keys())
    yield _none("invalid events stored", stored - expected.keys())
    yield _none("new events called duplicate", stored - called_new.keys() - doubtful)
    yield _none("events called accepted twice", {event_id for event_id, times in accepted.items() if times > 1})
    yield _none("events never settled", {a.event_id for a in attempts} - {a.event_id for a in attempts if a.settled})
    yield _none("answers of 500 and above but 503", {str(a.status) for a in attempts if a.status >= 500} - {"503"})


def check_lines(expected: dict[str, Event], attempts: Sequence[Attempt], lines: bytes) -> Iterator[Finding]:
    """Whether the exported lines are the stored events: each once, unchanged, in order. Lines of others are ignored."""
    stored = sum_up(attempts).stored.keys()
    perhaps = {a.event_id for a in attempts if a.verdict == "unknown"}
    sent = {a.event_id for a in attempts}
    rows, broken = _rows(lines)
    ours = [(event_id, row) for row in rows if (event_id := str(row.get("event_id")).lower()) in sent]
    out = Counter(event_id for event_id, _ in ours)
    places = Counter(str(row.get("stream_message_id") or "") for _, row in ours)
    numbers = [seq for _, row in ours if type(seq := row.get("seq")) is int]
    yield _equal("events exported", max(len(stored), 1), len(out), most=len(stored | perhaps))
    yield _none("lines that are no JSON object, or cut", broken)
    yield _none("stored events without a line", stored - out.keys())
    yield _none("events with several lines", {event_id for event_id, times in out.items() if times > 1})
    yield _none("lines of refused events", out.keys() - stored - perhaps)
    yield _none("lines that differ from what was sent", set(_altered(expected, ours)))
    yield _none("lines without a whole seq", {event_id for event_id, row in ours if type(row.get("seq")) is not int})
    yield _none("seq that do not rise", {str(after) for before, after in pairwise(numbers) if after <= before})
    yield _none("stream_message_id missing or used twice", {place for place, n in places.items() if n > 1 or not place})
    yield _none("schema_version other than 1", {event_id for event_id, row in ours if row.get("schema_version") != 1})


def _rows(lines: bytes) -> tuple[list[dict[str, Any]], set[str]]:
    """The event lines, and the numbers of lines that are none; log lines, with `level` and `msg`, are neither."""
    *whole, rest = lines.split(b"\n")
    broken = {f"line {len(whole) + 1}"} if rest else set()
    rows = []
    for number, line in enumerate(whole, 1):
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            broken.add(f"line {number}")
        else:
            if not {"level", "msg"} <= row.keys():
                rows.append(row)
    return rows, broken


def _altered(expected: dict[str, Event], ours: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for event_id, row in ours:
        wanted = expected.get(event_id, {})
        for name in (*EVENT_FIELDS, *ADDITIVE_FIELDS, "unknown_member") if wanted else ():
            if msgspec.json.encode(row.get(name)) != msgspec.json.encode(wanted.get(name)):
                yield f"{name} of {event_id}"


def check_metrics(
    attempts: Sequence[Attempt], before: Samples, after: Samples, destinations: Sequence[str]
) -> Iterator[Finding]:
    """Whether the metrics agree with the client log; `before` and `after` are scrapes of an otherwise idle node."""
    sums = sum_up(attempts)
    stored, doubt = len(sums.stored), sums.perhaps

    def risen(name: str, **labels: Any) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    limited = risen("ingest_rejected_total", reason="rate_limited")
    unconfirmed = risen("ingest_rejected_total", reason="unavailable")
    yield _equal("accepted_total", stored - doubt, risen("ingest_accepted_total"), most=stored + doubt)
    repeats = sums.stored.total() - stored
    yield _equal("duplicate_total", repeats - doubt, risen("ingest_duplicate_total"), most=repeats + doubt)
    refused = risen("ingest_rejected_total") - limited - unconfirmed
    yield _equal("rejected_total for other reasons", sums.rejected, refused, most=sums.rejected + doubt)
    yield _equal("rejected_total{rate_limited}", sums.limited, limited)
    for destination in destinations:
        exported = risen("events_exported_total", destination=destination)
        yield _equal(f"events_exported_total{{{destination}}}", stored, exported, most=stored + doubt)
    yield Finding("destinations enabled", "1 or more", f"{len(destinations)}", bool(destinations))
    for gauge in ("pending_messages", "consumer_lag_messages"):
        yield _equal(gauge, 0, total(after, gauge, absent=math.nan))
    for counter in ("consumer_dlq_total", "stream_lost_total", "export_errors_total"):
        yield _equal(f"{counter} risen by", 0, risen(counter))


def total(samples: Samples, name: str, absent: float = 0, **labels: Any) -> float:
    """The sum of a metric over all its series that have these labels; `absent` when there are none."""
    series = ((dict(having), value) for (sample, having), value in samples.items() if sample == f"payflux_{name}")
    found = [value for having, value in series if labels.items() <= having.items()]
    return sum(found) if found else absent


def samples_of(text: str) -> Samples:
    """A scrape, by name and labels."""
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def _equal(name: str, least: int, found: float, most: int | None = None) -> Finding:
    most = least if most is None else most
    wanted = f"{least:,}" if most == least else f"{least:,} to {most:,}"
    return Finding(name, wanted, f"{found:,.10g}", least <= found <= most)


def _none(name: str, culprits: AbstractSet[str]) -> Finding:
    return Finding(name, "0", f"{len(culprits):,}", not culprits, ", ".join(sorted(culprits)[:3]))


async def send_all(sender: Sender, jobs: Sequence[Job], workers: int, attempts: list[Attempt]) -> None:
    """Send everything; `attempts` is the client log and grows as answers come."""
    waiting = iter(jobs)
    done = 0

    async def work() -> None:
        nonlocal done
        for form, items in waiting:
            attempts.extend(await sender.send(items, form))
            done += 1
            _progress(f"sent {done:,} of {len(jobs):,} requests")

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def drain(sender: Sender, before: Samples, stored: int, lines: "Lines | None", seconds: float) -> Samples:
    """Wait until all that is stored came out and nothing moves any more, or nothing has moved for `seconds`."""
    last: object = None
    moved = time.monotonic()
    while True:
        try:
            after = samples_of((await sender.get("/metrics")).body.decode())
        except OSError:
            after = {}  # a node that has died fails the check
        waiting = total(after, "pending_messages") + total(after, "consumer_lag_messages")
        exported = total(after, "events_exported_total") - total(before, "events_exported_total")
        written = lines.read().count(b"\n") if lines else stored
        state = (waiting, exported, written)
        _progress(f"waiting: {waiting:,.0f} in the stream, {exported:,.0f} exported, {stored:,} stored")
        if state != last:
            last, moved = state, time.monotonic()
        elif (waiting == 0 and min(exported, written) >= stored) or time.monotonic() - moved > seconds:
            return after
        await asyncio.sleep(POLL_SECONDS)


class Lines:
    """A file of exported lines, read from where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self._path = path
        self._start = data.rfind(b"\n") + 1

    def read(self) -> bytes:
        """What has been added, whole lines or not."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read()


async def run(options: argparse.Namespace) -> list[Finding]:
    """The whole check against a living node.

    Raises:
        OSError: the node or LINES cannot be reached before anything was sent.
    """
    sender = Sender(options.url, options.keys, connections=options.connections, patience_seconds=options.deadline)
    async with sender:
        lines = Lines(options.lines) if options.lines else None
        before = samples_of((await sender.get("/metrics")).body.decode())
        health = msgspec.json.decode((await sender.get("/export/health")).body)
        destinations = [name for name, state in health["destinations"].items() if state["enabled"]]
        made = plan(options.seed, time.time(), options.events)
        attempts: list[Attempt] = []
        begun = time.monotonic()
        unexpected = await _send_within(options.deadline, sender, made.jobs, options.connections, attempts)
        _progress("")
        print(f"{len(attempts):,} answers in {time.monotonic() - begun:.1f} s, seed {options.seed}")
        after = await drain(sender, before, len(sum_up(attempts).stored), lines, options.drain)
        return [
            _none("answers outside the interface", unexpected),
            *check_answers(made.expected, made.invalid, attempts),
            *check_metrics(attempts, before, after, destinations),
            *(check_lines(made.expected, attempts, lines.read()) if lines else ()),
        ]


async def _send_within(
    seconds: float, sender: Sender, jobs: Sequence[Job], workers: int, attempts: list[Attempt]
) -> set[str]:
    """Send everything or stop at the deadline; what the node said that no node says."""
    try:
        async with asyncio.timeout(seconds):
            await send_all(sender, jobs, workers, attempts)
    except TimeoutError:
        return {f"not everything was sent within {seconds:.0f} s"}
    except ExceptionGroup as group:
        if group.split(AnswerError)[1]:
            raise
        return {str(error) for error in group.exceptions}
    return set()


def report(findings: Sequence[Finding], *, lines_compared: bool) -> int:
    """Print the table of checks and the verdict, return the exit code."""
    _progress("")
    print(f"{'check':<44} {'expected':>16} {'found':>10}")
    for finding in findings:
        verdict = "ok" if finding.ok else "FAIL"
        print(f"{finding.name:<44} {finding.expected:>16} {finding.found:>10}  {verdict}  {finding.examples}".rstrip())
    if not lines_compared:
        print("\nTHE LINES WERE NOT COMPARED: give LINES, the file they go to, to prove that none is lost or changed.")
    failed = sum(not finding.ok for finding in findings)
    print(f"\nFAIL: {failed} of {len(findings)} checks" if failed else f"\nPASS: {len(findings)} checks")
    return 1 if failed or not findings else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="smoke_load.sh", description=__doc__)
    parser.add_argument("url", metavar="URL", help="the node, http://host:port")
    parser.add_argument(
        "keys",
        metavar="KEY",
        type=lambda text: text.split(","),
        help="its API key; several, separated by commas, take turns",
    )
    parser.add_argument(
        "lines", metavar="LINES", type=Path, nargs="?", help="the file its lines go to, PAYFLUX_EXPORT_FILE for one"
    )
    parser.add_argument("--events", type=int, default=10_120, help="distinct valid events (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the traffic (default %(default)s); ids are new in each run"
    )
    parser.add_argument("--connections", type=int, default=8, help="at once (default %(default)s)")
    parser.add_argument("--deadline", type=float, default=900, help="seconds for sending (default %(default)s)")
    parser.add_argument(
        "--drain", type=float, default=30, help="seconds without progress to wait (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if min(options.events, options.connections, options.deadline, options.drain) <= 0:
        parser.error("--events, --connections, --deadline and --drain must be above 0")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check as a command, return its exit code."""
    options = _options(arguments)
    try:
        findings = asyncio.run(run(options))
    except (OSError, UrlError) as error:
        sys.stderr.write(f"cannot check {options.url}: {error}\n")
        return 2
    return report(findings, lines_compared=options.lines is not None)


if __name__ == "__main__":
    sys.exit(main())
