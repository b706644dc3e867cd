from collections.abc import Iterable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from incidents import NOON, incident
from payflux.alerts import Kind, Notice
from payflux.alerts.delivery import END_SEC, OVERDUE_SEC, Delivery, Failure, Told
from payflux.alerts.selection import Selection
from payflux.outgoing.patience import Patience
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.mutes import Mute


def delivery(
    *, every: float = 0.0, burst: int = 0, least: str = "elevated", told: dict[str, Told] | None = None
) -> Delivery:
    """What one receiver is to be told; its pages have no address."""
    kind = Kind(lambda _: None, "for the test", every=every, burst=burst)  # type: ignore[arg-type,return-value]
    return Delivery(kind, Selection(), told or {}, lambda _: "", Patience(chance=lambda: 0.0))


def tell(to: Delivery, incidents: Iterable[Incident], now: float, mutes: Iterable[Mute] = ()) -> list[tuple[str, str]]:
    """Tell it everything, and say what that was."""
    said: list[tuple[str, str]] = []
    while notice := to.next(incidents, mutes, now):
        to.took(notice, "", now)
        said.append((notice.kind, notice.incident.id))
        assert len(said) < 1000
    return said


def test_each_news_is_told_once() -> None:
    """It opened, it worsened, it was resolved; asked again, there is nothing."""
    to, one = delivery(), incident()
    worse = replace(one, severity="critical")
    ended = replace(worse, resolved=NOON + 60)
    assert tell(to, [one], NOON) == [("opened", one.id)]
    assert tell(to, [one], NOON + 1) == []
    assert tell(to, [replace(one, payments=400)], NOON + 1) == []
    assert tell(to, [worse], NOON + 2) == [("worsened", one.id)]
    assert tell(to, [ended], NOON + 60) == [("resolved", one.id)]
    assert tell(to, [ended], NOON + 61) == []


def test_a_receiver_that_was_down_is_told_both_ends() -> None:
    """What happened in between is in the first message; that it is over comes after it."""
    to = delivery()
    ended = incident(severity="critical", resolved=NOON + 60)
    first = to.next([ended], (), NOON + 600)
    assert first is not None
    assert (first.kind, first.incident.severity, first.incident.resolved) == ("opened", "critical", 0)
    assert tell(to, [ended], NOON + 600) == [("opened", ended.id), ("resolved", ended.id)]


def test_the_worst_comes_first() -> None:
    """Then what was opened first, in whatever order they are known."""
    some = [
        incident(1, severity="elevated"),
        incident(2, severity="critical"),
        incident(3),
        incident(4, severity="critical"),
    ]
    for order in permutations(some):
        assert [told for _, told in tell(delivery(), order, NOON)] == [some[at].id for at in (1, 3, 2, 0)]


def test_a_process_that_takes_over_goes_on() -> None:
    """From what the receiver was told before it."""
    one = incident()
    first = delivery()
    notice = first.next([one], (), NOON)
    assert notice is not None
    kept = first.took(notice, "1700.1", NOON)
    second = delivery(told=kept)
    assert second.next([one], (), NOON + 1) is None
    ended = second.next([replace(one, resolved=NOON + 60)], (), NOON + 60)
    assert ended is not None
    assert (ended.kind, ended.memory) == ("resolved", "1700.1")


def test_a_receiver_that_wants_to_be_reminded_is() -> None:
    """While it is open, and no longer."""
    to, one = delivery(every=60.0), incident()
    assert tell(to, [one], NOON) == [("opened", one.id)]
    assert tell(to, [one], NOON + 59) == []
    assert tell(to, [one], NOON + 60) == [("still", one.id)]
    ended = replace(one, resolved=NOON + 70)
    assert tell(to, [ended], NOON + 120) == [("resolved", one.id)]
    assert tell(to, [ended], NOON + 999) == []


def test_a_failure_is_tried_again_after_a_while() -> None:
    """Longer each time, as long as the receiver asks for, and nothing is tried meanwhile."""
    to, one = delivery(), incident()
    now = float(NOON)
    for after, waits in ((0.0, 0.5), (0.0, 1.0), (30.0, 30.0)):
        notice = to.next([one], (), now)
        assert notice is not None
        assert to.failed(after, {one.id: one}, now) == Failure({}, [])
        assert to.next([one], (), now + waits - 0.1) is None
        now += waits
    assert tell(to, [one], now) == [("opened", one.id)]


def fail_until(to: Delivery, incidents: list[Incident], now: float, until: float) -> tuple[float, list[str], list[str]]:
    """A receiver that is down: when it was tried last, what was overdue and what was lost by then."""
    overdue, lost, known = list[str](), list[str](), {one.id: one for one in incidents}
    while now < until:
        now = max(now, to.waits_until)
        if to.next(incidents, (), now) is None:
            break
        failure = to.failed(0.0, known, now)
        overdue += failure.overdue
        lost += failure.lost
    return to.waits_until, overdue, lost


def test_what_cannot_be_told_for_an_hour_is_named_once_and_told_when_it_can_be() -> None:
    """While it is open: whoever is back after three hours has to know."""
    to, one = delivery(), incident()
    now, overdue, lost = fail_until(to, [one], NOON, NOON + 3 * OVERDUE_SEC)
    assert (overdue, lost) == ([one.id], [])
    assert to.waiting(now) >= 3 * OVERDUE_SEC
    assert tell(to, [one], now) == [("opened", one.id)]
    assert to.waiting(now) == 0


def test_what_is_over_for_an_hour_is_lost_and_counted() -> None:
    """Exactly once; what comes later is told. The end of what it knows is tried for a day."""
    to, one = delivery(), incident(resolved=NOON + 60)
    now, overdue, lost = fail_until(to, [one], NOON, NOON + 3 * OVERDUE_SEC)
    assert (overdue, lost) == ([one.id], [one.id])
    assert tell(to, [one, incident(2)], now) == [("opened", incident(2).id)]
    knows = delivery(told={one.id: Told(severity="high")})
    now, overdue, lost = fail_until(knows, [one], NOON, NOON + END_SEC - 600)
    assert (overdue, lost) == ([one.id], [])
    _, _, lost = fail_until(knows, [one], now, NOON + END_SEC + 600)
    assert lost == [one.id]


def test_what_it_never_takes_does_not_hold_up_the_rest() -> None:
    """One that fails for an hour goes behind all others, be it the worst."""
    to, bad, good = delivery(), incident(1, severity="critical"), incident(2)
    now, _, _ = fail_until(to, [bad], NOON, NOON + OVERDUE_SEC + 60)
    notice = to.next([bad, good], (), now)
    assert notice is not None
    assert notice.incident == good


def test_what_a_receiver_refuses_does_not_hold_up_the_rest() -> None:
    """It is lost, and the next one is told; a receiver that is gone is told nothing any more."""
    to = delivery()
    bad, good = incident(1), incident(2)
    notice = to.next([bad, good], (), NOON)
    assert notice is not None
    assert to.refused(notice, NOON)[bad.id].lost
    assert tell(to, [bad, good], NOON) == [("opened", good.id)]
    notice = to.next([incident(3)], (), NOON)
    assert notice is not None
    to.refused(notice, NOON, "HTTP 410")
    assert to.next([incident(4)], (), NOON + 9999) is None


def test_many_at_once_end_in_a_summary() -> None:
    """One by one as many as it bears, the worst of them, then all others in one message; nothing is left out."""
    to = delivery(burst=20)
    some = [incident(number, severity="critical" if number % 10 == 0 else "high") for number in range(200)]
    notices: list[Notice] = []
    while notice := to.next(some, (), NOON):
        to.took(notice, "", NOON)
        notices.append(notice)
    assert [notice.kind for notice in notices] == ["opened"] * 20 + ["summary"]
    assert all(notice.incident.severity == "critical" for notice in notices[:20])
    told = [notice.incident.id for notice in notices[:20]] + [one.id for one in notices[20].others]
    assert sorted(told) == sorted(one.id for one in some)
    assert tell(to, some, NOON + 3600) == []


MUTE = Mute(id="m1", processor="stripe", until=NOON + 3600, why="planned migration")


@pytest.mark.parametrize(
    ("mute", "holds"),
    [
        (MUTE, True),
        (replace(MUTE, processor="*"), True),
        (replace(MUTE, processor="adyen"), False),
        (replace(MUTE, driver="segment_degradation"), True),
        (replace(MUTE, driver="volume_drop"), False),
        (replace(MUTE, dimension="geo", value="GB"), True),
        (replace(MUTE, dimension="geo", value="BR"), False),
    ],
)
def test_a_mute_holds_what_it_names(mute: Mute, holds: bool) -> None:
    """Of a processor, of one of its drivers, of one segment."""
    one = incident()
    assert (tell(delivery(), [one], NOON, [mute]) == []) is holds


def test_who_is_muted_is_told_no_false_end() -> None:
    """One that has to be repeated goes on as it was known, not worse; what became worse is told afterwards."""
    to, one = delivery(every=60.0), incident()
    assert tell(to, [one], NOON) == [("opened", one.id)]
    worse = replace(one, severity="critical")
    notice = to.next([worse], [MUTE], NOON + 60)
    assert notice is not None
    assert (notice.kind, notice.incident.severity) == ("still", "high")
    to.took(notice, "", NOON + 60)
    assert tell(to, [worse], NOON + 61, [MUTE]) == []
    assert tell(to, [worse], NOON + 3600, [MUTE]) == [("worsened", one.id)]


def test_what_spreads_from_a_segment_to_all_traffic_is_worse() -> None:
    """As severe as before; once."""
    to, one = delivery(), incident()
    assert tell(to, [one], NOON) == [("opened", one.id)]
    spread = replace(one, dimension="", value="")
    assert tell(to, [spread], NOON + 1) == [("worsened", one.id)]
    assert tell(to, [spread], NOON + 2) == []


def test_what_is_over_and_told_is_forgotten() -> None:
    """What was lost is not: somebody will ask."""
    to, one, other = delivery(), incident(1), incident(2)
    tell(to, [one], NOON)
    ended = replace(one, resolved=NOON + 9)
    assert not to.is_done(ended, (), NOON + 9)
    tell(to, [ended], NOON + 9)
    assert to.is_done(ended, (), NOON + 9)
    assert to.forget(one.id)
    notice = to.next([other], (), NOON)
    assert notice is not None
    to.refused(notice, NOON)
    assert to.is_done(other, (), NOON)
    assert not to.forget(other.id)


def test_a_mute_that_ends_during_an_incident_lets_it_through() -> None:
    """The message comes then; muted while it was told already, it is closed all the same."""
    to, one = delivery(), incident()
    assert tell(to, [one], NOON + 3599, [MUTE]) == []
    assert tell(to, [one], NOON + 3600, [MUTE]) == [("opened", one.id)]
    later = replace(MUTE, until=NOON + 9999)
    assert tell(to, [replace(one, severity="critical")], NOON + 3700, [later]) == []
    ended = replace(one, severity="critical", resolved=NOON + 3800)
    assert tell(to, [ended], NOON + 3800, [later]) == [("resolved", one.id)]


def test_what_ended_while_it_was_muted_is_told_to_nobody() -> None:
    """Not when the mute ends either."""
    ended = incident(resolved=NOON + 600)
    assert tell(delivery(), [ended], NOON + 700, [MUTE]) == []
    assert tell(delivery(), [ended], NOON + 7200, [MUTE]) == []


STEPS = st.lists(st.sampled_from(["fails", "works", "worsens", "ends", "dies", "waits"]), max_size=40)


@given(STEPS)
def test_whatever_happens_its_user_sees_one_beginning_and_one_end(steps: list[str]) -> None:
    """Failures, take-overs and changes in any order; in the end it works."""
    to, one, now = delivery(), incident(severity="elevated"), float(NOON)
    seen: list[str] = []
    for step in [*steps, "ends", *["works", "waits"] * 3]:
        now += 1.0
        if step == "worsens" and not one.resolved:
            one = replace(one, severity="critical")
        elif step == "ends" and not one.resolved:
            one = replace(one, resolved=int(now))
        elif step == "dies":
            to = delivery(told=to.told)
        elif step == "waits":
            now += 60.0
        elif notice := to.next([one], (), now):
            if step == "fails":
                to.failed(0.0, {one.id: one}, now)
            else:
                seen.append(notice.kind)
                to.took(notice, "", now)
    assert seen[0] == "opened"
    assert seen[-1] == "resolved"
    assert [kind for kind in seen if kind != "worsened"] == ["opened", "resolved"]
    assert seen.count("worsened") <= 1
