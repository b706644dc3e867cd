"""Whether PayFlux understands what it is sent: types that say an outcome, successes too, known failure categories."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from payflux.errors import StreamUnavailable
from payflux.event.outcome import Declared, outcome_of
from payflux.event.taxonomy import is_recognised
from payflux.finding import Finding
from payflux.redis.address import RedisAddress
from payflux.redis.entries import id_after
from payflux.redis.history import PAGE, StreamHistory
from payflux.redis.keys import Keys

EVENTS = 5_000
"""How many of the newest events are read."""
UNCLASSIFIED_SHARE = 0.05
NAMES = 5


class _Event(msgspec.Struct):
    event_type: str
    processor: str
    failure_category: str = ""
    retry_result: str = ""


class _Seen:
    """What the events of one processor say: how many are scored and what of, and the types nobody can read."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.unclassified: Counter[str] = Counter()

    def complaint(self, processor: str) -> str:
        """What is wrong with them, in words; empty when nothing is."""
        total, unread = self.kinds.total(), self.unclassified.total()
        if unread > UNCLASSIFIED_SHARE * total:
            return f"{processor}: {unread} of {total} say nothing of an outcome ({_named(self.unclassified)})"
        return "" if self.kinds["success"] else f"{processor}: none of {total} is a success"


_decode = msgspec.json.Decoder(_Event).decode


async def judge_newest(address: RedisAddress, keys: Keys, declared: Declared) -> list[Finding]:
    """Read the newest events of the stream and judge them; nothing where Redis does not answer, which others say."""
    bodies: list[bytes] = []
    try:
        async with StreamHistory(address, keys, "payflux-check") as history:
            end = id_after(await history.newest())
            while len(bodies) < EVENTS and (page := await history.page_back(end)):
                bodies += [delivery.data for delivery in page if delivery.data]
                end = page[-1].id
                if len(page) < PAGE:
                    break
    except StreamUnavailable:
        return []
    return judge_events(bodies, declared)


def judge_events(bodies: Iterable[bytes], declared: Declared) -> list[Finding]:
    """What stored events say of outcomes and failures.

    Args:
        bodies: the events; what is none is left out.
        declared: outcomes of event types that the operator has declared.
    """
    seen: dict[str, _Seen] = defaultdict(_Seen)
    unknown: Counter[str] = Counter()
    for body in bodies:
        try:
            event = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        outcome = outcome_of(event.event_type, event.retry_result, event.failure_category, declared)
        if not outcome.scored:
            continue
        seen[event.processor].kinds[outcome.kind] += 1
        if not outcome.classified:
            seen[event.processor].unclassified[event.event_type] += 1
        category = event.failure_category
        if outcome.kind == "failure" and category and not is_recognised(category):
            unknown[category] += 1
    return [_outcomes(seen), _categories(unknown)]


def _outcomes(seen: dict[str, _Seen]) -> Finding:
    total = sum(one.kinds.total() for one in seen.values())
    complaints = [text for processor, one in sorted(seen.items()) if (text := one.complaint(processor))]
    if complaints:
        fix = "send successes too, and a retry_result or PAYFLUX_OUTCOMES with types of your own: docs/events.md"
        return Finding("outcomes", "warn", "; ".join(complaints), fix)
    return Finding(
        "outcomes", "pass", f"the newest {total:,} events say how payments ended" if total else "no events yet"
    )


def _categories(unknown: Counter[str]) -> Finding:
    if unknown:
        reason = (
            f"{unknown.total()} failures in words nobody knows, which count against the processor ({_named(unknown)})"
        )
        return Finding("failure_categories", "warn", reason, "send a failure_origin, or words of docs/events.md")
    return Finding("failure_categories", "pass", "the newest failures are in words that are known")


def _named(counts: Counter[str]) -> str:
    names = [f"{name} {count}" for name, count in counts.most_common(NAMES)]
    return ", ".join([*names, "…"] if len(counts) > NAMES else names)
