"""What the load check compares: answers, exported lines and metrics, each with what was sent."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from payflux.event.decode import ADDITIVE_FIELDS, EVENT_FIELDS
from payflux.load.attempts import Attempt
from payflux.load.corpus.events import Event

STORED = ("accepted", "duplicate", "stored")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Finding(NamedTuple):
    """One check; `examples` names a few culprits."""

    name: str
    expected: str
    found: str
    ok: bool
    examples: str = ""


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
    yield none("valid events rejected", refused & expected.keys())
    yield none("invalid events stored", stored - expected.keys())
    yield none("new events called duplicate", stored - called_new.keys() - doubtful)
    yield none("events called accepted twice", {event_id for event_id, times in accepted.items() if times > 1})
    yield none("events never settled", {a.event_id for a in attempts} - {a.event_id for a in attempts if a.settled})
    yield none("answers of 500 and above but 503", {str(a.status) for a in attempts if a.status >= 500} - {"503"})


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
    yield none("lines that are no JSON object, or cut", broken)
    yield none("stored events without a line", stored - out.keys())
    yield none("events with several lines", {event_id for event_id, times in out.items() if times > 1})
    yield none("lines of refused events", out.keys() - stored - perhaps)
    yield none("lines that differ from what was sent", set(_altered(expected, ours)))
    yield none("lines without a whole seq", {event_id for event_id, row in ours if type(row.get("seq")) is not int})
    yield none("seq that do not rise", {str(after) for before, after in pairwise(numbers) if after <= before})
    yield none("stream_message_id missing or used twice", {place for place, n in places.items() if n > 1 or not place})
    yield none("schema_version other than 1", {event_id for event_id, row in ours if row.get("schema_version") != 1})


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


def none(name: str, culprits: AbstractSet[str]) -> Finding:
    """That there are no culprits; names the first three."""
    return Finding(name, "0", f"{len(culprits):,}", not culprits, ", ".join(sorted(culprits)[:3]))
