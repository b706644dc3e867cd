"""Everything that can happen to a processor's traffic, incidents and what only looks like one: the one registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from payflux.load.corpus.population import CHANNELS, GEOS, METHODS, Processor

Shape = Literal["step", "creep", "surge", "bump"]
"""How an effect comes: at once; growing until its end; within a minute; rising to its middle and falling again."""

SURGE_SECONDS = 60


class Extra(NamedTuple):
    """Additional payments, much alike.

    Attributes:
        share: how many, as a multiple of the processor's normal ones.
        least: but no fewer than so many a second.
        geos: where from: `usual`, `first` the processor's main country alone, `even` all its countries alike, `far`.
        method: how they are paid; empty: as usual.
        channel: how they come in; empty: as usual.
        merchant: whose they are, by rank; None: as usual.
        small: tiny amounts.
        declined: share declined as invalid cards; None: declined as usual.
    """

    share: float
    least: float = 0.0
    geos: Literal["usual", "first", "even", "far"] = "usual"
    method: str = ""
    channel: str = ""
    merchant: int | None = None
    small: bool = False
    declined: float | None = None


class Effect(NamedTuple):
    """What a scenario does to its processor, at severity 1.

    Attributes:
        traffic: multiple of the normal number of new payments.
        failing: share of the attempts concerned that fail because of it.
        categories: the failures it causes, with weights.
        segment: only attempts with the incident's value in the scenario's dimension fail; else all do.
        odds: multiple of the odds of failing otherwise.
        retrying: share of failed attempts tried again within seconds, up to ten times.
        resending: share of attempts sent again within seconds whatever the answer, by two merchants of five.
        latency: multiple of the time an attempt takes.
        moved: share of the payments that change to the incident's value of the method.
        extra: additional payments.
    """

    traffic: float = 1.0
    failing: float = 0.0
    categories: tuple[tuple[str, float], ...] = ()
    segment: bool = False
    odds: float = 1.0
    retrying: float = 0.0
    resending: float = 0.0
    latency: float = 1.0
    moved: float = 0.0
    extra: Extra | None = None


class Scenario(NamedTuple):
    """Something that can happen.

    Attributes:
        summary: what it is, in one line.
        effect: what it does to the traffic.
        driver: the driver a warning should name first; empty for what is benign.
        also: drivers that are right as well.
        dimension: `geo`, `method` or `issuer` where it concerns one value of it, else empty.
        value: that value, unless another is asked for.
        shape: how the effect comes.
        processor: whom it hits unless told.
        start: seconds of normal traffic before it, when it is staged for people to watch.
        duration: seconds it lasts then.
        minutes: shortest and longest it lasts in the corpus.
        severities: least and greatest severity in the corpus.
        benign: nothing is wrong: a warning would be a false alarm.
    """

    summary: str
    effect: Effect
    driver: str
    also: tuple[str, ...] = ()
    dimension: str = ""
    value: str = ""
    shape: Shape = "step"
    processor: str = "stripe"
    start: float = 30
    duration: float = 180
    minutes: tuple[float, float] = (30, 80)
    severities: tuple[float, float] = (0.7, 1.0)
    benign: bool = False


_DOWN = (("processor_error", 4.0), ("processor_timeout", 6.0))
_ISSUER = (("issuer_unavailable", 6.0), ("do_not_honor", 4.0))
_FAILING = ("high_failure_rate", "failure_clustering", "timeout_clustering")
_CARD_TESTS = Extra(0.4, 0.5, geos="even", method="credit_card", channel="web", merchant=7, small=True, declined=0.9)
_DAY = (1440.0, 1440.0)
SCENARIOS = {
    "outage": Scenario(
        "nearly every payment fails at the processor",
        Effect(failing=0.95, categories=_DOWN, retrying=0.6),
        *("high_failure_rate", _FAILING[1:]),
        severities=(1.0, 1.0),
    ),
    "timeout_creep": Scenario(
        "more and more payments time out",
        Effect(failing=0.6, categories=(("processor_timeout", 1.0),), retrying=0.5),
        *("timeout_clustering", ("high_failure_rate",)),
        shape="creep",
        processor="adyen",
        duration=300,
        minutes=(60, 60),
        severities=(0.25, 0.4),
    ),
    "auth_cluster": Scenario(
        "cardholders fail to authenticate",
        Effect(failing=0.6, categories=(("authentication_failed", 1.0),), retrying=0.2),
        "auth_failure_cluster",
        processor="adyen",
        severities=(0.17, 0.42),
    ),
    "retry_storm": Scenario(
        "failed payments are tried again and again",
        Effect(traffic=1.3, failing=0.75, categories=(("do_not_honor", 1.0),), retrying=0.97),
        *("retry_pressure_spike", ("high_failure_rate", "failure_clustering")),
        severities=(0.3, 0.6),
    ),
    "geo_spread": Scenario(
        "stolen cards are tested from many countries",
        Effect(extra=_CARD_TESTS._replace(share=1.5, geos="far")),
        *("geo_entropy_increase", ("card_testing_suspected", "failure_clustering")),
        processor="checkout",
        severities=(0.2, 0.5),
    ),
    "traffic_spike": Scenario(
        "a rush of payments that the processor struggles with",
        Effect(traffic=6.0, failing=0.3, categories=_DOWN, retrying=0.1),
        *("high_failure_rate", ("traffic_volatility", *_FAILING[1:])),
        processor="paypal",
        start=60,
        duration=60,
        severities=(0.4, 0.8),
    ),
    "silence": Scenario(
        "payments of the processor stop arriving",
        Effect(traffic=0.0),
        "volume_drop",
        processor="worldpay",
        start=60,
        severities=(1.0, 1.0),
    ),
    "partial_geo": Scenario(
        "payments from one country fail",
        Effect(failing=0.95, categories=_DOWN, segment=True, retrying=0.2),
        *("segment_degradation", ("high_failure_rate",), "geo", "GB"),
        severities=(0.55, 1.0),
    ),
    "partial_method": Scenario(
        "payments with one payment method fail",
        Effect(failing=0.95, categories=_DOWN, segment=True, retrying=0.2),
        *("segment_degradation", ("high_failure_rate",), "method", "wallet"),
        severities=(0.55, 1.0),
    ),
    "partial_issuer": Scenario(
        "cards issued in one country are declined",
        Effect(failing=0.95, categories=_ISSUER, segment=True, retrying=0.2),
        *("segment_degradation", ("failure_clustering",), "issuer", "GB"),
        severities=(0.55, 1.0),
    ),
    "latency_creep": Scenario(
        "answers take longer and longer, up to five times as long",
        Effect(latency=5.0),
        "latency_increase",
        shape="creep",
        duration=300,
        severities=(0.5, 1.0),
    ),
    "mild_degradation": Scenario(
        "four to seven payments more of a hundred fail",
        Effect(failing=0.07, categories=_DOWN),
        *("high_failure_rate", _FAILING[1:]),
        duration=600,
        severities=(0.58, 1.0),
    ),
    "resend_loop": Scenario(
        "faulty clients send payments again whatever the answer",
        Effect(resending=0.6),
        "retry_pressure_spike",
        severities=(0.75, 1.0),
    ),
    "card_testing": Scenario(
        "stolen cards are tested with tiny payments at one merchant",
        Effect(extra=_CARD_TESTS),
        *("card_testing_suspected", ("failure_clustering",)),
        severities=(0.4, 1.0),
    ),
    "traffic_drop": Scenario(
        "few payments of the processor still arrive",
        Effect(traffic=0.05),
        "volume_drop",
        severities=(0.85, 1.0),
    ),
    "flash_sale": Scenario(
        "a merchant sells out: many wallet payments from one country",
        Effect(extra=Extra(4.0, geos="first", method="wallet", channel="web", merchant=3)),
        "",
        shape="surge",
        minutes=(20, 60),
        severities=(0.5, 1.0),
        benign=True,
    ),
    "mix_deploy": Scenario(
        "a release moves payments to another method",
        Effect(moved=0.15),
        *("", (), "method", "bnpl"),
        duration=600,
        minutes=_DAY,
        severities=(1.0, 1.0),
        benign=True,
    ),
    "slow_drift": Scenario(
        "declines rise by a quarter over half a day and fall again",
        Effect(odds=1.28),
        "",
        shape="bump",
        duration=3600,
        minutes=_DAY,
        severities=(1.0, 1.0),
        benign=True,
    ),
    "merchant_burst": Scenario(
        "a merchant has a good hour",
        Effect(extra=Extra(0.6, merchant=12)),
        "",
        minutes=(5, 20),
        severities=(0.33, 1.0),
        benign=True,
    ),
    "billing_batch": Scenario(
        "subscriptions are billed, with declines of their own kind",
        Effect(extra=Extra(1.2, channel="recurring")),
        "",
        minutes=(20, 20),
        severities=(1.0, 1.0),
        benign=True,
    ),
    "bank_holiday": Scenario(
        "fewer people buy for a day",
        Effect(traffic=0.6),
        "",
        duration=600,
        minutes=_DAY,
        severities=(0.8, 1.0),
        benign=True,
    ),
}
"""All of them by name; how `payflux simulate --incident` stages one, and how the corpus draws one."""


def values_of(dimension: str, processor: Processor) -> Sequence[str]:
    """The values a dimension has at a processor, the most common first."""
    return {"geo": processor.geos, "issuer": tuple(GEOS), "method": tuple(METHODS), "channel": tuple(CHANNELS)}[
        dimension
    ]


@dataclass(frozen=True)
class Incident:
    """A scenario at a time and place; it need not be anything bad.

    Attributes:
        name: of the scenario, one of `SCENARIOS`.
        processor: whom it hits.
        start: seconds after the start of the traffic.
        duration: seconds.
        severity: above 0, up to 1 for the full effect.
        value: of the scenario's dimension; empty for its usual one.
    """

    name: str
    processor: str
    start: float
    duration: float
    severity: float = 1.0
    value: str = ""

    @property
    def scenario(self) -> Scenario:
        """What happens."""
        return SCENARIOS[self.name]

    @property
    def effect(self) -> Effect:
        """What it does at severity 1."""
        return self.scenario.effect

    @property
    def concerned(self) -> str:
        """The value of the scenario's dimension that it concerns; empty when there is none."""
        return self.value or self.scenario.value

    @property
    def end(self) -> float:
        """Seconds after the start of the traffic."""
        return self.start + self.duration

    def strength(self, elapsed: float) -> float:
        """How much of its effect it has, `elapsed` seconds after the start of the traffic: 0 to its severity."""
        since, done = elapsed - self.start, (elapsed - self.start) / self.duration
        grown = {"step": 1.0, "creep": done, "surge": since / SURGE_SECONDS, "bump": 2 * min(done, 1 - done)}
        return self.severity * min(max(grown[self.scenario.shape], 0.0), 1.0)


class Label(NamedTuple):
    """The truth about an incident, as `--labels` writes it, one JSON object each.

    Attributes:
        scenario: its name.
        processor: whom it hit.
        driver: the driver a warning should name; empty for what is benign.
        also: drivers that are right as well.
        dimension: `geo`, `method` or `issuer` where one value of it was concerned, else empty.
        value: that value.
        start: RFC 3339, milliseconds.
        end: likewise.
        severity: above 0, up to 1 for the full effect of the scenario.
        benign: a warning would be a false alarm.
    """

    scenario: str
    processor: str
    driver: str
    also: tuple[str, ...]
    dimension: str
    value: str
    start: str
    end: str
    severity: float
    benign: bool


def label_of(incident: Incident, start: float, seconds: float) -> Label:
    """The truth about an incident of traffic that began at `start`, Unix seconds, and went on for `seconds`."""
    what = incident.scenario
    began, ended = (stamp(round(1000 * (start + at))) for at in (incident.start, min(incident.end, seconds)))
    return Label(
        incident.name,
        incident.processor,
        what.driver,
        what.also,
        what.dimension,
        incident.concerned,
        began,
        ended,
        incident.severity,
        what.benign,
    )


def stamp(milliseconds: int) -> str:
    """A Unix time as events give it: RFC 3339 in UTC with milliseconds."""
    whole = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"
