"""The benchmark's judgement: a missing floor, a wrong answer or a count that is one off fails it."""

from collections.abc import Sequence

import msgspec
import pytest

from benchmarks.load.generator import Load, Shape, off_schedule
from benchmarks.report.result import Measured, Result, Run
from benchmarks.report.summary import Summary, summarised
from benchmarks.report.targets import TARGETS, Target, figure, judge, ratio
from benchmarks.report.terminal import verdict_rows
from benchmarks.servers.floors import Floor, FloorMissing, floor_of, nginx_binary
from benchmarks.servers.promise import Counted, broken

OCTETS = (150, 150)
SHAPE = Shape(connections=4)
SEEN = Load(answers=1000, bad=0, broken=0, seconds=1.0, p50_ms=1.0, p99_ms=2.0, octets=150_100)
COUNTED = Counted(accepted=1002, duplicates=0, rejected=0, lost=0, exported=1002, numbered=1002, added=1002, lines=1002)
CHEAP = Target("cost / floor", "single", ratio("ingest_us", "nginx"), 1.5, ("nginx",))


def complaints(seen: Load = SEEN, counted: Counted = COUNTED, shape: Shape = SHAPE) -> list[str]:
    return list(broken(seen, counted, shape, OCTETS))


def measured(*runs: Run, needs: Sequence[str] = ()) -> Measured:
    return Measured("single", "single", "single", 0.0, list(needs), list(runs))


def run(ingest_us: float, **floors: float) -> Run:
    return Run({"ingest_us": ingest_us}, {name: Floor(cpu_us, 1.0) for name, cpu_us in floors.items()})


def result(*scenarios: Measured, targets: Sequence[Target] = (CHEAP,)) -> Summary:
    return summarised(Result("2026-01-09T12:00:00Z", {}, {}, "wrk", list(scenarios), judge(scenarios, targets)))


def test_what_was_cut_at_the_end_may_have_been_stored() -> None:
    """Up to one request for each that was open, and no more."""
    assert complaints() == []
    everywhere = dict.fromkeys(("accepted", "exported", "numbered", "added", "lines"), 1004)
    assert complaints(counted=msgspec.structs.replace(COUNTED, **everywhere)) == []
    everywhere = dict.fromkeys(everywhere, 1005)
    assert complaints(counted=msgspec.structs.replace(COUNTED, **everywhere)) == [
        "1,005 accepted or duplicates, but 1,000 answered"
    ]
    everywhere = dict.fromkeys(everywhere, 999)
    assert complaints(counted=msgspec.structs.replace(COUNTED, **everywhere)) == [
        "999 accepted or duplicates, but 1,000 answered"
    ]


@pytest.mark.parametrize("name", ["exported", "numbered", "added", "lines"])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_count_that_is_one_off_is_found(name: str, off: int) -> None:
    """Whoever counts it."""
    (said,) = complaints(counted=msgspec.structs.replace(COUNTED, **{name: 1002 + off}))
    assert f"but {1002 + off:,}" in said


@pytest.mark.parametrize("name", ["rejected", "lost"])
def test_a_single_refusal_or_loss_is_found(name: str) -> None:
    """Distinct, valid events are accepted, and none is lost."""
    assert complaints(counted=msgspec.structs.replace(COUNTED, **{name: 1})) == [f"1 events {name}"]


@pytest.mark.parametrize(("name", "value"), [("bad", 1), ("broken", 1), ("answers", 0)])
def test_a_wrong_answer_is_found(name: str, value: int) -> None:
    """By the generator's own count, and when there is no answer at all."""
    assert "not as expected" in complaints(msgspec.structs.replace(SEEN, **{name: value}))[0]


@pytest.mark.parametrize("octets", [149_999, 150_601])
def test_answers_of_another_length_are_found(octets: int) -> None:
    """The load generator does not read bodies, but their lengths add up."""
    (said,) = complaints(msgspec.structs.replace(SEEN, octets=octets))
    assert "each should have 150 to 150" in said


@pytest.mark.parametrize(("duplicates", "found"), [(0, 1), (100, 999), (50, 490)])
def test_duplicates_that_are_too_many_or_too_few_are_found(duplicates: int, found: int) -> None:
    """Of every load it is known how many there must be."""
    shape = msgspec.structs.replace(SHAPE, duplicates=duplicates)
    for number, wrong in ((duplicates * 10, False), (found, True)):
        accepted = 1000 - number
        everywhere = dict.fromkeys(("accepted", "exported", "numbered", "added", "lines"), accepted)
        counted = msgspec.structs.replace(COUNTED, duplicates=number, **everywhere)
        assert any("duplicates, " in said for said in complaints(counted=counted, shape=shape)) is wrong


@pytest.mark.parametrize(
    ("rate", "late_p99_ms", "answers", "words"),
    [
        (0.0, 90.0, 10, ""),
        (1000.0, 1.0, 1000, ""),
        (1000.0, 5.1, 1000, "late itself"),
        (1000.0, 1.0, 980, "were due"),
    ],
)
def test_a_schedule_that_was_not_kept_is_found(rate: float, late_p99_ms: float, answers: int, words: str) -> None:
    """Latency at a rate means nothing when the generator could not keep to it."""
    load = msgspec.structs.replace(SEEN, rate=rate, late_p99_ms=late_p99_ms, answers=answers)
    found = list(off_schedule(load))
    assert (words in found[0]) if words else found == []


def test_the_median_decides_within_rounds() -> None:
    """Each round is compared with its own floor: a slow machine is slow for both."""
    (verdict,) = judge([measured(run(10, nginx=10), run(40, nginx=20), run(13, nginx=10))], [CHEAP])
    assert (verdict.found, verdict.least, verdict.most, verdict.ok) == (1.3, 1.0, 2.0, True)
    (verdict,) = judge([measured(run(16, nginx=10))], [CHEAP])
    assert verdict.ok is False


def test_the_least_may_be_the_limit() -> None:
    """Events a second are to be many."""
    speed = Target("speed", "single", figure("ingest_us"), 100, at_least=True)
    assert [judge([measured(run(value))], [speed])[0].ok for value in (99, 100)] == [False, True]


def test_a_missing_floor_fails() -> None:
    """Even when it is missing in one round of three, and the others are good."""
    bench = result(measured(run(10, nginx=10), run(10), run(10, nginx=10), needs=["nginx"]))
    assert bench.verdicts[0].ok is False
    assert bench.verdicts[0].reason == "no floor: nginx"
    assert bench.wrong == ["single, round 2: no floor: nginx"]
    assert not bench.passed
    assert result(measured(run(10, nginx=10), needs=["nginx"])).passed


def test_a_floor_that_no_target_needs_is_missed_too() -> None:
    """A scenario without its floor proves nothing."""
    assert not result(measured(run(10), needs=["xadd"]), targets=()).passed


def test_a_contradiction_fails_whatever_the_targets_say() -> None:
    """And is named with its scenario and round."""
    bad = msgspec.structs.replace(run(10, nginx=10), wrong=["1 events lost"])
    bench = result(measured(run(10, nginx=10), bad))
    assert bench.verdicts[0].ok is True
    assert bench.wrong == ["single, round 2: 1 events lost"]
    assert not bench.passed
    assert list(verdict_rows(bench))[-1][-1] == "FAIL"


@pytest.mark.parametrize("runs", [[], [Run({})], [run(10, nginx=0)]])
def test_what_was_not_measured_fails(runs: list[Run]) -> None:
    """No round, no figure, or a floor of nothing."""
    bench = result(measured(*runs))
    assert bench.verdicts[0].ok is False
    assert bench.verdicts[0].reason
    assert not bench.passed


def test_what_only_informs_decides_nothing() -> None:
    """It is shown."""
    bench = result(measured(run(99, nginx=1)), targets=[CHEAP._replace(informs=True)])
    assert bench.verdicts[0].ok is None
    assert bench.passed


def test_targets_of_scenarios_that_were_not_asked_for_are_left_out() -> None:
    """A short run is judged by what it measured."""
    assert judge([], TARGETS) == []


@pytest.mark.parametrize("change", [{"bad": 1}, {"broken": 1}, {"answers": 0}])
def test_a_floor_that_does_not_do_its_work_is_missing(change: dict[str, int]) -> None:
    """A floor is only one when every request got its 202."""
    assert floor_of("nginx", SEEN, 0.01) == Floor(10.0, 1000.0, 1.0, 2.0)
    with pytest.raises(FloorMissing, match="nginx"):
        floor_of("nginx", msgspec.structs.replace(SEEN, **change), 0.01)


def test_a_floor_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of going on without it."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(FloorMissing, match="nginx-light"):
        nginx_binary()
