"""Processors that are idle for a week: all is kept in less room, and goes on where it was."""

import msgspec

from payflux.risk.assessment import RiskAssessment
from payflux.risk.incidents.tracker import Tracker
from payflux.risk.resting import FORGET_SEC, REST_SEC, Resting
from payflux.risk.scoring import Scorer
from risk_traffic import Memory, Traffic, counted, outage


def scorer_of(memory: Memory) -> Scorer:
    """A scorer that knows what is normal at stripe."""
    scorer = Scorer()
    scorer.restore("stripe", msgspec.msgpack.decode(memory.data) | {"incidents": Tracker("stripe").snapshot()})
    return scorer


def after(scorer: Scorer, second: int) -> list[RiskAssessment]:
    """What is said of an outage that begins at a second."""
    scorer.tick(second)
    traffic, said = Traffic(5, seed=7), []
    for at in range(second + 1, second + 31):
        scorer.add(at, "stripe", counted(traffic.second(outage() if at >= second + 20 else None), 300))
        said += scorer.tick(at)
    return said


def test_one_that_comes_back_goes_on_where_it_was(memory: Memory) -> None:
    """After more than a week the same is said of the same events, whether it was put to rest or not."""
    rested, uninterrupted = scorer_of(memory), scorer_of(memory)
    watch = rested.watch("stripe")
    assert watch
    back = watch.touched + REST_SEC + 86400
    rested.tick(back - 1)
    assert rested.rest(back - 1) == ["stripe"]
    assert rested.followed() == []
    said = after(rested, back)
    assert said[-1].band == "critical"
    assert said == after(uninterrupted, back)


def test_a_day_is_no_rest(memory: Memory) -> None:
    """A processor that had events a day ago is followed."""
    scorer = scorer_of(memory)
    watch = scorer.watch("stripe")
    assert watch
    scorer.tick(watch.touched + 86400)
    assert scorer.rest(watch.touched + 86400) == []
    assert scorer.followed() == ["stripe"]


def test_after_thirty_days_it_is_forgotten(memory: Memory) -> None:
    """Its name is told, so that what is kept of it elsewhere goes too; when it comes back it is learned anew."""
    scorer = scorer_of(memory)
    watch = scorer.watch("stripe")
    assert watch
    last = watch.touched
    scorer.tick(last + REST_SEC)
    assert scorer.rest(last + REST_SEC) == ["stripe"]
    assert (scorer.rest(last + FORGET_SEC - 1), scorer.take_forgotten()) == ([], [])
    assert (scorer.rest(last + FORGET_SEC), scorer.take_forgotten()) == ([], ["stripe"])
    scorer.add(last + FORGET_SEC + 1, "stripe", counted(Traffic(5).second(rate=5)))
    scorer.tick(last + FORGET_SEC + 1)
    assert not scorer.current()[0].learned


def test_there_is_room_for_so_many(memory: Memory) -> None:
    """The one idle longest makes room for another; a snapshot takes a small part of what a watch does."""
    resting, known = Resting(2), msgspec.msgpack.decode(memory.data)
    for touched, processor in enumerate(("one", "two", "three")):
        resting.lay_down(processor, touched, known)
    assert resting.wake("one") is None
    assert resting.wake("two") == known
    assert resting.wake("two") is None
    assert resting.expire(FORGET_SEC + 2) == ["three"]


def test_more_snapshots_than_there_is_room_for(memory: Memory) -> None:
    """After a restart those that had events last are followed, and the others at rest, in whatever order they come."""
    data = msgspec.msgpack.decode(memory.data) | {"incidents": Tracker("stripe").snapshot()}
    scorer = Scorer(most_processors=2)
    for processor, later in (("new", 20), ("old", 0), ("middle", 10)):
        scorer.restore(processor, data)
        watch = scorer.watch(processor)
        if watch:
            watch.touched += later
    assert set(scorer.followed()) == {"new", "middle"}
    assert scorer.take_forgotten() == []
    scorer.restore("old", data)
    assert "old" not in scorer.followed()


def test_what_is_not_scored_wakes_nobody(memory: Memory) -> None:
    """An event of a test shows what was said last of a processor at rest, and leaves it there."""
    scorer = scorer_of(memory)
    watch = scorer.watch("stripe")
    assert watch
    second = watch.touched + REST_SEC
    scorer.recall(RiskAssessment(watch.touched, "stripe", 0.0, learned=True))
    scorer.tick(second)
    assert scorer.rest(second) == ["stripe"]
    assert scorer.score(second + 1, "stripe", None).learned
    assert scorer.followed() == []
