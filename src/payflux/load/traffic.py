"""Payment traffic that looks like the real thing, the same for the same seed, and incidents to disturb it with.

No figure in here is anybody's: shares, decline rates and latencies are chosen to be plausible, so that a demonstration,
a load test or a detector sees the shapes it will meet. Hashes and ids are random numbers.
"""

import heapq
import math
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Generic, NamedTuple, TypeVar

from payflux.event.decode import EVENT_FIELDS

Event = dict[str, object]
"""An event as a producer sends it: the contract's fifteen members in their order, then additive ones."""

BLANK: Event = dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0}
T = TypeVar("T")


class Mix(Generic[T]):
    """Values and how often each occurs; the weights need not add up to anything."""

    def __init__(self, weights: dict[T, float]) -> None:
        self._values = tuple(weights)
        self._edges = tuple(accumulate(weights.values()))

    def pick(self, random: Random) -> T:
        """One of the values."""
        at = bisect_right(self._edges, random.random() * self._edges[-1])
        return self._values[min(at, len(self._values) - 1)]


class Processor(NamedTuple):
    """A processor's share of the traffic, its normal share of declined first attempts, and the countries it is used in.

    Five countries at most: risk score version 1 calls more than that a spread.
    """

    weight: float
    declines: float
    geos: tuple[str, ...]


class Geo(NamedTuple):
    """A country's share of the payments, and what it pays in."""

    weight: float
    currency: str


class Decline(NamedTuple):
    """A failure category: how common it is, who causes it, the network's response code, whether a retry can help."""

    weight: float
    origin: str
    code: str
    retryable: bool


PROCESSORS = {
    "stripe": Processor(34, 0.095, ("US", "GB", "DE", "FR", "CA")),
    "adyen": Processor(24, 0.090, ("NL", "DE", "GB", "FR", "ES")),
    "paypal": Processor(14, 0.085, ("US", "GB", "DE", "AU", "MX")),
    "braintree": Processor(10, 0.110, ("US", "CA", "AU", "GB")),
    "checkout": Processor(10, 0.105, ("GB", "FR", "ES", "IN", "PL")),
    "worldpay": Processor(8, 0.125, ("GB", "US", "NL", "BR")),
}
GEOS = {
    "US": Geo(34, "USD"),
    "GB": Geo(14, "GBP"),
    "DE": Geo(11, "EUR"),
    "FR": Geo(9, "EUR"),
    "NL": Geo(7, "EUR"),
    "CA": Geo(6, "CAD"),
    "AU": Geo(5, "AUD"),
    "BR": Geo(4, "BRL"),
    "IN": Geo(4, "INR"),
    "ES": Geo(3, "EUR"),
    "PL": Geo(2, "PLN"),
    "MX": Geo(1, "MXN"),
}
FAR_GEOS = (
    *("AR", "BD", "BG", "CL", "CO", "EG", "GE", "GH", "HU", "ID", "KE", "KZ", "LT", "LV", "MA", "MY"),
    *("NG", "PE", "PH", "PK", "RO", "RS", "TH", "TR", "UA", "UY", "VN", "ZA"),
)
DECLINES = {
    "insufficient_funds": Decline(40, "customer", "51", retryable=True),
    "do_not_honor": Decline(24, "issuer", "05", retryable=True),
    "expired_card": Decline(8, "customer", "54", retryable=False),
    "authentication_failed": Decline(8, "customer", "", retryable=True),
    "processor_timeout": Decline(6, "processor", "", retryable=True),
    "invalid_card": Decline(6, "issuer", "14", retryable=False),
    "processor_error": Decline(5, "processor", "96", retryable=True),
    "invalid_request": Decline(3, "merchant", "13", retryable=False),
}
AMOUNT_EDGES = (10, 50, 200, 1000, 5000)
AMOUNT_BUCKETS = ("0-10", "10-50", "50-200", "200-1000", "1000-5000", "5000+")
CARDS = ("credit_card", "debit_card")
MERCHANTS = 300
RETRY_LIMIT = 3
STORM_RETRY_LIMIT = 10
NORMAL_WEIGHT = sum(processor.weight for processor in PROCESSORS.values())
RETRY_SHARE = 0.5
RETRY_FAILS = 0.45
FORGET_RETRY_SECONDS = 60
FIRST_ATTEMPTS = 0.95
"""Share of first attempts in normal traffic; the rest are retries, which come on top of them."""

_METHODS = Mix({"credit_card": 48, "debit_card": 27, "wallet": 16, "bank_transfer": 6, "bnpl": 3})
_CHANNELS = Mix({"web": 52, "mobile": 33, "recurring": 15})
_NETWORKS = Mix({"visa": 55, "mastercard": 36, "amex": 9})
_SOURCES = {"web": "checkout_api", "mobile": "mobile_sdk", "recurring": "subscription_billing"}
_CATEGORIES = Mix({name: decline.weight for name, decline in DECLINES.items()})
_MERCHANT_RANKS = Mix({rank: 1 / rank**1.1 for rank in range(1, MERCHANTS + 1)})  # Zipf
_GEO_MIXES = {name: Mix({geo: GEOS[geo].weight for geo in processor.geos}) for name, processor in PROCESSORS.items()}


class Effect(NamedTuple):
    """What a kind of incident does to its processor, at severity 1.

    Attributes:
        summary: what it is, in one line.
        traffic: multiple of the normal number of new payments.
        failing: share of attempts that fail because of it.
        categories: the failures it causes, with weights.
        retrying: share of failed attempts tried again within seconds.
        testing: share of new payments that are card tests: tiny, at one merchant, from everywhere.
        creeping: it grows from nothing to its severity over its duration.
    """

    summary: str
    traffic: float = 1.0
    failing: float = 0.0
    categories: tuple[tuple[str, float], ...] = ()
    retrying: float = 0.0
    testing: float = 0.0
    creeping: bool = False


_DOWN = (("processor_error", 4.0), ("processor_timeout", 6.0))
EFFECTS = {
    "outage": Effect("nearly every payment fails at the processor", 1.0, 0.95, _DOWN, 0.6),
    "timeout_creep": Effect(
        "more and more payments time out", 1.0, 0.6, (("processor_timeout", 1.0),), 0.5, creeping=True
    ),
    "auth_cluster": Effect("cardholders fail to authenticate", 1.0, 0.6, (("authentication_failed", 1.0),), 0.2),
    "retry_storm": Effect("failed payments are tried again and again", 1.3, 0.75, (("do_not_honor", 1.0),), 0.97),
    "geo_spread": Effect("stolen cards are tested from many countries", 2.5, 0.0, (), 0.0, 0.6),
    "traffic_spike": Effect("a rush of payments that the processor struggles with", 6.0, 0.3, _DOWN, 0.1),
    "silence": Effect("payments of the processor stop arriving", 0.0),
}


@dataclass(frozen=True)
class Incident:
    """One incident.

    Attributes:
        name: its kind, one of `EFFECTS`.
        processor: which processor it hits, one of `PROCESSORS`.
        start: seconds after the start of the traffic.
        duration: seconds.
        severity: above 0, up to 1 for the full effect.
    """

    name: str
    processor: str
    start: float
    duration: float
    severity: float = 1.0

    @property
    def effect(self) -> Effect:
        """What it does at severity 1."""
        return EFFECTS[self.name]

    @property
    def end(self) -> float:
        """Seconds after the start of the traffic."""
        return self.start + self.duration

    def strength(self, elapsed: float) -> float:
        """How much of its effect it has, `elapsed` seconds after the start of the traffic: 0 to its severity."""
        grown = (elapsed - self.start) / self.duration if self.effect.creeping else 1.0
        return self.severity * min(max(grown, 0.0), 1.0)


INCIDENTS = {
    incident.name: incident
    for incident in (
        Incident("outage", "stripe", 30, 180, 1.0),
        Incident("timeout_creep", "adyen", 30, 300, 1.0),
        Incident("auth_cluster", "adyen", 30, 180, 1.0),
        Incident("retry_storm", "stripe", 30, 180, 1.0),
        Incident("geo_spread", "checkout", 30, 180, 1.0),
        Incident("traffic_spike", "paypal", 60, 60, 1.0),
        Incident("silence", "worldpay", 60, 180, 1.0),
    )
}
"""One incident of each kind, as `payflux simulate --incident` starts it: after some normal traffic to compare with."""


def one_after_another(names: Sequence[str]) -> list[Incident]:
    """The named incidents of `INCIDENTS` in that order, each with its start counted from the end of the one before.

    Raises:
        KeyError: a name is none of `INCIDENTS`.
    """
    ordered: list[Incident] = []
    free = 0.0
    for name in names:
        incident = replace(INCIDENTS[name], start=free + INCIDENTS[name].start)
        free = incident.end
        ordered.append(incident)
    return ordered


def schedule(seed: int, quiet: tuple[float, float] = (120, 420)) -> Iterator[Incident]:
    """Incidents of random kinds at random processors, one at a time, without end.

    Args:
        seed: the same seed gives the same incidents.
        quiet: least and greatest pause before each, seconds.
    """
    random = Random(f"incidents {seed}")
    free = 0.0
    while True:
        usual = INCIDENTS[random.choice(tuple(INCIDENTS))]
        start = free + random.uniform(*quiet)
        duration = usual.duration * random.uniform(0.5, 1.0)
        yield Incident(usual.name, random.choice(tuple(PROCESSORS)), start, duration, random.uniform(0.7, 1.0))
        free = start + duration


class Traffic:
    """A stream of payment events.

    The caller owns the clock: `pause` says how long after `at` the next event comes, `event` makes the one of `at`;
    times are Unix seconds and must not fall. `arrivals` does both. The same seed, start and times give the same events;
    another start gives other ids and hashes.

    Built from the seed, the start in Unix seconds, and incidents ordered by their start, perhaps endless.
    """

    def __init__(self, seed: int, start: float, incidents: Iterable[Incident] = ()) -> None:
        self._random = Random(seed)
        self._ids = Random(f"ids {seed} {start}")  # or a second run would be all duplicates to the node
        self._start = start
        self._coming = iter(incidents)
        self._next = next(self._coming, None)
        self._running: tuple[Incident, ...] = ()
        self._weights = _weights(())
        self._processors = Mix(self._weights)
        self._retries: list[tuple[float, int, Event]] = []
        self._scheduled = 0
        self._merchants = [self._hash() for _ in range(MERCHANTS)]

    def running(self, at: float) -> tuple[Incident, ...]:
        """The incidents that are on at a time."""
        elapsed = at - self._start
        before = self._running
        while self._next is not None and self._next.start <= elapsed:
            self._running += (self._next,)
            self._next = next(self._coming, None)
        if any(incident.end <= elapsed for incident in self._running):
            self._running = tuple(incident for incident in self._running if incident.end > elapsed)
        if self._running is not before:
            self._weights = _weights(self._running)
            self._processors = Mix(self._weights)
        return self._running

    def pause(self, at: float, rate: float) -> float:
        """Seconds until the next event.

        Args:
            at: the time of the last one.
            rate: events per second in normal traffic, above 0; incidents make them more or fewer.
        """
        self.running(at)
        share = sum(self._weights.values()) / NORMAL_WEIGHT
        first = self._random.expovariate(rate * FIRST_ATTEMPTS * share)
        # Waiting times have no memory, so drawing anew after a retry changes nothing about the first attempts.
        return min(first, max(self._retries[0][0] - at, 0.0)) if self._retries else first

    def event(self, at: float) -> Event:
        """The event of a time: a retry that is due, else the first attempt of a new payment."""
        self.running(at)
        while self._retries and self._retries[0][0] <= at:
            due, _, payment = heapq.heappop(self._retries)
            if at - due <= FORGET_RETRY_SECONDS and self._weights[str(payment["processor"])] > 0:
                return self._attempt(at, payment)
        return self._attempt(at, self._payment(at))

    def arrivals(self, rate: float) -> Iterator[tuple[float, Event]]:
        """Times and events from the start on, without end; `rate` as for `pause`."""
        at = self._start
        while True:
            at += self.pause(at, rate)
            yield at, self.event(at)

    def _hitting(self, processor: object, at: float) -> list[tuple[Effect, float]]:
        elapsed = at - self._start
        return [(i.effect, i.strength(elapsed)) for i in self._running if i.processor == processor]

    def _payment(self, at: float) -> Event:
        """A new payment: the members all its attempts have in common."""
        random = self._random
        processor = self._processors.pick(random)
        testing = sum(effect.testing * strength for effect, strength in self._hitting(processor, at))
        tested = random.random() < testing
        geo = random.choice(FAR_GEOS) if tested else _GEO_MIXES[processor].pick(random)
        major = random.uniform(0.5, 3) if tested else min(random.lognormvariate(math.log(45), 1.2), 20_000)
        method = "credit_card" if tested else _METHODS.pick(random)
        channel = "web" if tested else _CHANNELS.pick(random)
        merchant = 7 if tested else _MERCHANT_RANKS.pick(random) - 1
        payment = BLANK | {
            "merchant_id_hash": self._merchants[merchant],
            "payment_intent_id_hash": self._hash(),
            "processor": processor,
            "geo_bucket": geo,
            "amount_bucket": AMOUNT_BUCKETS[bisect_right(AMOUNT_EDGES, major)],
            "system_source": _SOURCES[channel],
            "payment_method_bucket": method,
            "channel": channel,
            "currency": "USD" if tested else GEOS[geo].currency,
            "amount_minor": max(1, round(major * 100)),
            "initiator": "mit" if channel == "recurring" else "cit",
            "issuer_country": geo,
        }
        if method in CARDS:
            payment |= {"payment_method_fingerprint_hash": self._hash(), "card_network": _NETWORKS.pick(random)}
        return payment

    def _attempt(self, at: float, payment: Event) -> Event:
        category = self._failure(payment, at)
        latency = self._random.lognormvariate(math.log(420), 0.5)
        if category.endswith("timeout"):
            latency = self._random.uniform(10_000, 30_000)
        event = payment | {
            "event_type": "payment_failed" if category else "payment_succeeded",
            "event_timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "event_id": str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
            "failure_category": category,
            "retry_result": "failed" if category else ("succeeded" if payment["retry_count"] else ""),
            "failure_origin": DECLINES[category].origin if category else "",
            "latency_ms": round(latency),
        }
        if category and "card_network" in payment and DECLINES[category].code:
            event["network_response_code"] = DECLINES[category].code
        if category:
            self._retry(at, payment, category)
        return event

    def _failure(self, payment: Event, at: float) -> str:
        """Why an attempt fails; empty when it succeeds."""
        random = self._random
        for effect, strength in self._hitting(payment["processor"], at):
            if effect.categories and random.random() < effect.failing * strength:
                return Mix(dict(effect.categories)).pick(random)
        if payment["geo_bucket"] in FAR_GEOS:
            return "invalid_card" if random.random() < 0.9 else ""
        chance = RETRY_FAILS if payment["retry_count"] else PROCESSORS[str(payment["processor"])].declines
        return _CATEGORIES.pick(random) if random.random() < chance else ""

    def _retry(self, at: float, payment: Event, category: str) -> None:
        """Perhaps plan another attempt."""
        random = self._random
        storm = sum(effect.retrying * strength for effect, strength in self._hitting(payment["processor"], at))
        done = int(str(payment["retry_count"]))
        stormy = random.random() < storm
        usual = random.random() < RETRY_SHARE
        if not DECLINES[category].retryable or done >= (STORM_RETRY_LIMIT if stormy else RETRY_LIMIT):
            return
        if stormy or usual:
            wait = random.uniform(1, 3) if stormy else 4 + random.expovariate(1 / 20)
            self._scheduled += 1  # decides between equal times, as events cannot be compared
            heapq.heappush(self._retries, (at + wait, self._scheduled, payment | {"retry_count": done + 1}))

    def _hash(self) -> str:
        return f"{self._ids.getrandbits(128):032x}"


def _weights(running: Iterable[Incident]) -> dict[str, float]:
    """Each processor's part in the new payments; creeping incidents change failures, not the amount of traffic."""
    weights = {name: processor.weight for name, processor in PROCESSORS.items()}
    for incident in running:
        weights[incident.processor] *= 1 + (incident.effect.traffic - 1) * incident.severity
    return weights
