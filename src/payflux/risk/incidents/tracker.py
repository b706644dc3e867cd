"""The tracker of one processor: from its assessments to its incidents."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from payflux.risk.assessment import BANDS, RiskAssessment
from payflux.risk.counts import Counts
from payflux.risk.detectors.registry import DETECTORS
from payflux.risk.drivers import Driver, Key
from payflux.risk.evidence.side_streams import SOFTLY
from payflux.risk.incidents.book import FAILING, Account, Book, View, view_of
from payflux.risk.incidents.incident import EVERYWHERE, Change, Incident, Place, id_of
from payflux.risk.incidents.places import (
    BROAD,
    OWN,
    is_active,
    is_certain,
    is_other,
    measured,
    ordered,
    place_of,
    places_of,
    share_within,
)
from payflux.risk.incidents.samples import Samples
from payflux.risk.observation import Observation

FAMILIES = ("failures", "declines")
"""Failures that count against the processor, and those that do not: their troubles are told apart by their places."""

JOINED = {
    **{one.driver: ("declines", "failures", *one.goes_with) for one in DETECTORS},
    "retry_pressure_spike": (
        *("declines", "failures"),
        *(one.driver for one in DETECTORS if "retry_pressure_spike" in one.goes_with),
    ),
    "geo_entropy_increase": ("declines",),
    "latency_increase": ("failures",),
    "volume_drop": ("failures",),
    "traffic_volatility": FAMILIES,
}
"""Drivers that go with a trouble of a family when there is one; alone, each is a trouble of its own."""

SIGNS = frozenset(one.driver for one in DETECTORS)
AT_ONCE = SIGNS | {"geo_entropy_increase"}
"""Drivers that open an incident although nothing says that they do harm."""

HOME = 0.25
"""A country with such a share of the events is not elsewhere: more comes from there when a merchant sells out."""

NEVER = frozenset({"traffic_volatility"})
"""Drivers that open none: business that goes well does the same."""

TOGETHER_SEC = 120
"""Within so long, a driver of another family and a trouble are taken for the same."""


class _Case(msgspec.Struct, frozen=True):
    """An open incident, and what it takes to go on with it.

    Attributes:
        incident: as it stands.
        family: of its drivers; the name of the driver where it has none.
        members: the drivers that belong to it.
        view: in which its payments are counted.
        before: what that view held when it began.
    """

    incident: Incident
    family: str
    members: tuple[Key, ...] = ()
    view: View | None = None
    before: Account = Account(0, {})


class Tracker:
    """Follows the incidents of one processor, in stream time alone.

    Args:
        processor: whose they are.
    """

    def __init__(self, processor: str) -> None:
        self._processor = processor
        self._book = Book()
        self._samples = Samples()
        self._cases: list[_Case] = []
        self._gist: list[tuple[Key, str]] = []
        self._over: dict[str, int] = {}  # until when the last incident of a family that is over went on

    @property
    def open(self) -> list[Incident]:
        """The open incidents, the oldest first."""
        return [case.incident for case in self._cases]

    def tick(self, second: int, counts: Counts | None, said: Sequence[RiskAssessment]) -> list[Change]:
        """Take in what was counted of a second, and what the watch said when it was ticked.

        Args:
            second: stream time, later than before.
            counts: what happened in it; None or empty when nothing did.
            said: what the watch said, the oldest first.

        Returns:
            What became of incidents, the oldest first.
        """
        changes = [change for one in said if one.second < second for change in self._hear(one)]
        if counts is not None and counts.events:
            self._book.take(second, counts)
            self._samples.take(second, counts)
        return changes + [change for one in said if one.second >= second for change in self._hear(one)]

    def _hear(self, said: RiskAssessment) -> list[Change]:
        gist = [(key_of(driver), driver.band) for driver in said.drivers]
        before = {case.incident.id: case.incident for case in self._cases}
        if gist != self._gist:
            self._gist = gist
            present = {key for key, _ in gist}
            self._cases = [
                replace(case, members=tuple(key for key in case.members if key in present)) for case in self._cases
            ]
            self._arrange(said)
        return self._tell(said, before)

    def _arrange(self, said: RiskAssessment) -> None:
        """Say which driver belongs to which incident, and begin new ones."""
        latest = self._book.latest() if any(driver.name in FAILING for driver in said.drivers) else Counter()
        for family in FAMILIES:
            if own := [driver for driver in said.drivers if family_of(driver) == family]:
                self._place(said.second, family, own, latest)
                self._share_out(family, own, latest)
        for driver in said.drivers:
            if driver.name not in FAILING and not any(key_of(driver) in case.members for case in self._cases):
                self._join(said.second, driver)

    def _place(self, second: int, family: str, own: list[Driver], latest: Counter[Observation]) -> None:
        """Find an incident for each place where a family of failures shows a trouble."""
        places = places_of(own, latest)
        taken = {case.incident.place for case in self._cases if case.family == family}
        for place in places:
            if place in taken:
                continue
            lead = next(driver for driver in own if place_of(driver) == place)
            if any(
                _is_late(lead, case, own) and not _is_spread(second, lead, case, latest)
                for case in self._cases
                if case.family == family
            ):
                continue
            if self._is_echo(family, lead):
                continue
            free = [at for at, case in enumerate(self._cases) if _takes(case, family, second, lead, places, latest)]
            if free:
                case = self._cases[free[0]]
                samples = case.incident.samples if place == EVERYWHERE else ()
                moved = replace(case.incident, dimension=place[0], value=place[1], samples=samples)
                self._cases[free[0]] = replace(case, incident=moved, family=family)
            else:
                self._begin(second, family, lead, place)

    def _is_echo(self, family: str, lead: Driver) -> bool:
        """Whether what a driver shows happened in an incident that is over: where little comes, that is shown long."""
        over = self._over.get(family, -1)
        if lead.since > over:
            return False
        view = view_of(lead)
        since = self._book.after(view, self._book.before(view, self._book.reach(over + 1)))
        return since.failed < OWN * lead.observed

    def _begin(self, second: int, family: str, lead: Driver, place: Place) -> None:
        incident = Incident(
            id=id_of(self._processor, second, lead),
            processor=self._processor,
            severity=lead.band,
            opened=second,
            since=lead.since,
            counted_from=lead.since,
            updated=second,
            dimension=place[0],
            value=place[1],
        )
        self._cases.append(_Case(incident, family, (key_of(lead),)))

    def _share_out(self, family: str, own: list[Driver], latest: Counter[Observation]) -> None:
        """Give each driver of a family to the incident that holds most of its failures."""
        cases = [at for at, case in enumerate(self._cases) if case.family == family]
        given: dict[int, list[Key]] = {at: [] for at in cases}
        for driver in own if cases else ():
            places = {at: self._cases[at].incident.place for at in cases}
            best = max(cases, key=lambda at: _fit(driver, places[at], latest))
            given[best].append(key_of(driver))
        mine = {key_of(driver) for driver in own}
        for at in cases:
            others = [key for key in self._cases[at].members if key not in mine]
            self._cases[at] = replace(self._cases[at], members=(*given[at], *others))

    def _join(self, second: int, driver: Driver) -> None:
        """Find an incident for a driver that speaks of no failures."""
        families = JOINED.get(driver.name, ())
        fitting = [
            at
            for at, case in enumerate(self._cases)
            if case.family in families and (driver.name != "volume_drop" or case.incident.place == EVERYWHERE)
        ]
        if fitting:
            at = min(fitting, key=lambda at: (families.index(self._cases[at].family), at))
            self._cases[at] = replace(self._cases[at], members=(*self._cases[at].members, key_of(driver)))
        elif (is_certain(driver) or _opens_at_once(driver)) and driver.name not in NEVER:
            self._begin(second, driver.name, driver, place_of(driver))

    def _tell(self, said: RiskAssessment, before: dict[str, Incident]) -> list[Change]:
        """Bring every incident up to date, and end those of which nothing is left."""
        changes, kept = [], []
        for case in self._cases:
            own = ordered(case.incident.place, [driver for driver in said.drivers if key_of(driver) in case.members])
            going = self._going_on(case, own)
            if going is None:
                note = "it is the new normal" if said.note == "baseline_reset" else case.incident.note
                ended = replace(case.incident, resolved=said.second, updated=said.second, note=note)
                changes.append(Change("resolved", said.second, ended))
                continue
            now = self._updated(going, tuple(driver for driver in own if key_of(driver) in going.members), said.second)
            kept.append(now)
            changes += _changes(before.get(now.incident.id), now.incident, said.second)
        self._cases = kept
        self._book.keep(case.view for case in kept if case.view)
        return changes

    def _going_on(self, case: _Case, own: Sequence[Driver]) -> _Case | None:
        """The case, if anything is left of it: when the failures are over, what a detector still sees."""
        if case.family not in FAMILIES:
            return case if any(_upholds(driver, case.family) for driver in own) else None
        if any(driver.name in FAILING for driver in own):
            return case
        self._over[case.family] = case.incident.updated
        sign = next((driver for driver in own if driver.name in SIGNS and is_active(driver)), None)
        if sign is None:
            return None
        stay = tuple(key for key in case.members if key[0] in SIGNS or sign.name in JOINED.get(key[0], ()))
        return replace(case, family=sign.name, members=stay)

    def _updated(self, case: _Case, own: tuple[Driver, ...], second: int) -> _Case:
        """The case with the numbers of a second; while it fades, those of its end stand."""
        if case.incident.drivers and not any(_is_of(driver, case.family) for driver in own):
            return case
        before, measure = case.incident, measured(case.incident.place, own)
        worst = max(own, key=lambda driver: driver.severity)
        severity = max(before.severity, *(driver.band for driver in own), key=BANDS.index)
        if case.view is None or (measure.name in FAILING and view_of(measure) != case.view):
            case = self._counted(case, measure)
        payments, risk = self._harm(case, measure)
        now = replace(
            case.incident,
            severity=severity,
            updated=second,
            peak=max(before.peak, worst.severity),
            peak_at=second if worst.severity > before.peak else before.peak_at,
            drivers=own,
            payments=payments,
            value_at_risk=risk,
            samples=self._samples.more(before.samples, measure, case.incident.since),
        )
        return replace(case, incident=now)

    def _harm(self, case: _Case, measure: Driver) -> tuple[int, dict[str, int]]:
        """Payments affected, and the value at risk; a driver that speaks of neither leaves them as they were."""
        if measure.name == "volume_drop":
            return measure.observed, {}
        if measure.name not in FAILING:
            return case.incident.payments, case.incident.value_at_risk
        failed, values = self._book.after(view_of(measure), case.before)
        part = max(measure.excess, 0.0) / max(measure.observed, 1)
        risk = {currency: round(minor * part) for currency, minor in sorted(values.items())}
        return round(failed * part), {currency: minor for currency, minor in risk.items() if minor}

    def _counted(self, case: _Case, measure: Driver) -> _Case:
        """The case with its payments counted in the view of a driver."""
        since = min(case.incident.since, measure.since)
        start, view = self._book.reach(since), view_of(measure)
        incident = replace(case.incident, since=since, counted_from=start)
        return replace(case, incident=incident, view=view, before=self._book.before(view, start))

    def snapshot(self) -> dict[str, Any]:
        """All that is known, as plain data."""
        return {
            "book": self._book.snapshot(),
            "samples": self._samples.snapshot(),
            "cases": msgspec.to_builtins(self._cases),
            "gist": [[*key, band] for key, band in self._gist],
            "over": self._over,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from a snapshot, before or after any encoding."""
        self._book.restore(data["book"])
        self._samples.restore(data.get("samples", ()))  # a version before this one kept none
        self._cases = msgspec.convert(data["cases"], list[_Case])
        self._gist = [((name, dimension, value, raises), band) for name, dimension, value, raises, band in data["gist"]]
        self._over = dict(data.get("over", {}))


def _opens_at_once(driver: Driver) -> bool:
    """Whether a sign of a detector is seen, or events come from where they hardly came from."""
    return driver.name in AT_ONCE and driver.expected < HOME * driver.attempts


def _upholds(driver: Driver, family: str) -> bool:
    """Whether a driver keeps open what is of no failures: what went with a sign does only while it is seen."""
    return family not in SIGNS or driver.name in SIGNS or driver.name in FAILING or is_active(driver)


def key_of(driver: Driver) -> Key:
    """What tells a driver from the others of its processor."""
    return driver.name, driver.dimension, driver.value, driver.raises


def family_of(driver: Driver) -> str:
    """The family a driver belongs to; its name where it has none."""
    if driver.name not in FAILING:
        return driver.name
    # Soft declines that rise everywhere count against the processor, and are the same ones as those of their category.
    return FAMILIES[0] if driver.raises and driver.value != SOFTLY else FAMILIES[1]


def _takes(  # noqa: PLR0917 - all that decides
    case: _Case, family: str, second: int, lead: Driver, places: Iterable[Place], latest: Counter[Observation]
) -> bool:
    """Whether a trouble that was found at the place of a driver is the one of an open incident."""
    place = place_of(lead)
    if case.family != family:
        soon = second - case.incident.opened <= TOGETHER_SEC
        there = soon or place == case.incident.place or place[0] in {"", "amount"}
        return there and family in JOINED.get(case.family, ())
    if case.incident.place in places:
        return False
    return EVERYWHERE in {case.incident.place, place} or not is_other(lead, [case.incident.place], latest)


def _is_late(lead: Driver, case: _Case, own: list[Driver]) -> bool:
    """Whether what a driver shows began in an incident that fades: what few attempts go to recovers later."""
    own_place = [driver for driver in own if place_of(driver) == case.incident.place]
    return not any(map(is_active, own_place)) and lead.since <= case.incident.updated


def _is_spread(second: int, lead: Driver, case: _Case, latest: Counter[Observation]) -> bool:
    """Whether an incident that has just begun does not fade, but was never one of its segment alone."""
    young = second - case.incident.opened <= TOGETHER_SEC
    return young and place_of(lead) == EVERYWHERE and is_other(lead, [case.incident.place], latest, BROAD)


def _is_of(driver: Driver, family: str) -> bool:
    """Whether a driver says now that a trouble of a family goes on."""
    return is_active(driver) and (family not in FAMILIES or driver.name in FAILING)


def _fit(driver: Driver, place: Place, latest: Counter[Observation]) -> tuple[bool, float, bool]:
    return place_of(driver) == place, share_within(driver, [place], latest), place != EVERYWHERE


def _changes(before: Incident | None, now: Incident, second: int) -> list[Change]:
    if before is None:
        return [Change("opened", second, now)]
    if now == before:
        return []
    spread = before.place != EVERYWHERE and now.place == EVERYWHERE
    return [Change("worsened" if spread or now.severity != before.severity else "updated", second, now)]
