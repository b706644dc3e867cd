"""Nothing arriving from anybody is one incident; one processor's silence is its own."""

import msgspec

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Change, Incident
from payflux.risk.incidents.silences import Arrivals
from payflux.risk.incidents.standstill import NOTE, Standstill

DROP = Driver("volume_drop", "", "", 0.9, "critical", False, 50, 50, 50.0, 100, 50.0, 20.0)


def silence(processor: str, kind: str = "opened", second: int = 110) -> Change:
    """What becomes of the silence of one processor."""
    incident = Incident(
        id=f"{processor}-110-aa",
        processor=processor,
        severity="critical",
        opened=110,
        since=100,
        counted_from=100,
        updated=second,
        resolved=second if kind == "resolved" else 0,
        drivers=(DROP,),
    )
    return msgspec.convert({"kind": kind, "second": second, "incident": msgspec.to_builtins(incident)}, Change)


def told(changes: list[Change]) -> list[tuple[str, str]]:
    """What people are told, and of whom."""
    return [(change.kind, change.incident.processor) for change in changes]


QUIET = {"stripe": Arrivals(100, 5.0), "adyen": Arrivals(100, 4.0)}


def test_nothing_arriving_is_one_incident() -> None:
    """The silences of single processors are not told beside it, neither as they open nor as they end."""
    standstill = Standstill()
    (opened,) = standstill.fold(110, [silence("stripe")], QUIET)
    assert (opened.kind, opened.incident.processor, opened.incident.note) == ("opened", "", NOTE)
    assert standstill.fold(112, [silence("adyen", second=112)], QUIET) == []
    back = {"stripe": Arrivals(120, 5.0), "adyen": Arrivals(120, 4.0)}
    (resolved,) = standstill.fold(120, [], back)
    assert (resolved.kind, resolved.incident.id, resolved.incident.resolved) == ("resolved", opened.incident.id, 120)
    assert standstill.fold(420, [silence("stripe", "resolved", 420), silence("adyen", "resolved", 420)], back) == []
    assert standstill.open == []


def test_one_processor_that_falls_silent_has_its_own() -> None:
    """While another sends, nothing is still."""
    busy = QUIET | {"adyen": Arrivals(109, 4.0)}
    standstill = Standstill()
    assert told(standstill.fold(110, [silence("stripe")], busy)) == [("opened", "stripe")]
    assert told(standstill.fold(400, [silence("stripe", "resolved", 400)], busy)) == [("resolved", "stripe")]


def test_others_too_slow_to_have_sent_prove_nothing() -> None:
    """A processor with an event a minute says nothing within ten seconds."""
    slow = {"stripe": Arrivals(100, 5.0), "adyen": Arrivals(100, 0.02)}
    assert told(Standstill().fold(110, [silence("stripe")], slow)) == [("opened", "stripe")]


def test_a_silence_told_before_becomes_part_of_the_standstill() -> None:
    """What was taken for one processor's silence ends as such when it turns out to be everybody's."""
    standstill = Standstill()
    standstill.fold(110, [silence("stripe")], {"stripe": Arrivals(100, 5.0), "adyen": Arrivals(109, 4.0)})
    late = standstill.fold(
        130, [silence("adyen", second=130)], {"stripe": Arrivals(100, 5.0), "adyen": Arrivals(109, 4.0)}
    )
    assert told(late) == [("resolved", "stripe"), ("opened", "")]


def test_who_stays_silent_when_others_are_back_has_an_incident_then() -> None:
    """Nobody hides behind a standstill that is over."""
    standstill = Standstill()
    standstill.fold(110, [silence("stripe"), silence("adyen")], QUIET)
    back = {"stripe": Arrivals(120, 5.0), "adyen": Arrivals(100, 4.0)}
    assert told(standstill.fold(120, [], back)) == [("resolved", "")]
    assert told(standstill.fold(122, [], back)) == [("opened", "adyen")]
    assert told(standstill.fold(500, [silence("adyen", "resolved", 500)], back)) == [("resolved", "adyen")]


def test_other_incidents_pass() -> None:
    """Only silences are folded."""
    standstill = Standstill()
    standstill.fold(110, [silence("stripe")], QUIET)
    failing = msgspec.structs.replace(DROP, name="high_failure_rate")
    change = silence("worldpay")
    change = Change("opened", 115, msgspec.structs.replace(change.incident, drivers=(failing,)))
    assert standstill.fold(115, [change], QUIET) == [change]


def test_it_goes_on_from_a_snapshot() -> None:
    """Restored from bytes, it ends what it began."""
    standstill, other = Standstill(), Standstill()
    standstill.fold(110, [silence("stripe")], QUIET)
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(standstill.snapshot())))
    assert told(other.fold(120, [], {"stripe": Arrivals(120, 5.0)})) == [("resolved", "")]
