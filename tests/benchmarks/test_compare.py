"""The comparison with another commit: its intervals, its verdict, and that both versions are really what is run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import COSTS, Interval, Side, interval, main, pairs, parse, rows, verdict
from benchmarks.machine import ROOT
from benchmarks.servers.node import Node, NodeFailed
from benchmarks.servers.redis import Redis
from real_parts import binary_or_skip

linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs /proc, which only Linux has")


@pytest.mark.parametrize(
    ("count", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (12, 13), (15, 25), (20, 52), (25, 89)]
)
def test_the_ends_are_those_of_the_published_tables(count: int, critical: int) -> None:
    """Critical values of the signed-rank test at 5 %, two-sided; so many means lie outside at each end."""
    assert compare._left_out(count) == critical + 1


def test_an_interval_holds_its_middle() -> None:
    """Six pairs are enough for one, five are not."""
    found = interval([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(1.5)
    assert 1.0 < found.ratio < 1.5
    few = interval([2.0, 2.0, 2.0, 2.0, 2.0])
    assert few.ratio == pytest.approx(2.0)
    assert few[1:] == (None, None)


def test_a_disturbed_pair_moves_the_interval_little() -> None:
    """Somebody else's work during one pair of twelve is no slower version."""
    quiet = [0.99, 1.0, 1.01] * 4
    disturbed = [*quiet[:-1], 3.0]
    found = interval(disturbed)
    assert found.low is not None
    assert found.high is not None
    assert 0.98 < found.low < found.ratio < found.high < 1.02


def test_twice_as_much_in_the_other_direction_is_half() -> None:
    """Ratios are compared by their logarithms."""
    ratios = [1.1, 1.3, 0.9, 1.2, 1.05, 1.15, 1.4]
    one, other = interval(ratios), interval([1 / ratio for ratio in ratios])
    assert one.ratio == pytest.approx(1 / other.ratio)
    assert other.high is not None
    assert one.low == pytest.approx(1 / other.high)


@pytest.mark.parametrize(
    ("low", "word"), [(0.9, "PASS"), (1.03, "PASS"), (1.031, "FAIL"), (1.2, "FAIL"), (None, "too few pairs")]
)
def test_the_lower_end_decides(low: float | None, word: str) -> None:
    """What is surely more than 3 % slower fails."""
    assert verdict(Interval(1.1, low, 1.3)) == word


def test_ratios_are_taken_within_a_pair() -> None:
    """A pair in which the machine was half as fast counts like the others."""
    measured = [(dict.fromkeys(COSTS, slow), dict.fromkeys(COSTS, 2 * slow)) for slow in (1.0, 5.0, 2.0)]
    found = list(rows(measured))
    assert [(load, who) for load, who, *_ in found] == list(COSTS)
    assert {(before, now, round(of.ratio, 9)) for _, _, before, now, of in found} == {(2.0, 4.0, 2.0)}


def test_the_one_that_begins_alternates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that grows warm favours nobody."""
    began: list[str] = []

    def measure(side: Side, *_: object) -> dict[tuple[str, str], float]:
        began.append(side.name)
        return {}

    monkeypatch.setattr(compare, "measure", measure)
    base, here = Side("base", tmp_path), Side("here", tmp_path)
    assert len(list(pairs(base, here, tmp_path, parse(["HEAD", "--pairs", "3"])))) == 3
    assert began == ["base", "here", "here", "base", "base", "here"]


@linux
@pytest.mark.usefixtures("history")
def test_pairs_before_a_failure_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And why it ended; that is no success, however good they were."""
    done = 0

    def measure(*_: object) -> dict[tuple[str, str], float]:
        nonlocal done
        done += 1
        if done > 2 * 7:
            raise compare.Wrong("base, single: 1 events lost")
        return dict.fromkeys(COSTS, 1.0)

    monkeypatch.setattr(compare, "measure", measure)
    assert main(["HEAD", "--pairs", "9"]) == 1
    shown = capsys.readouterr().out
    assert shown.count("PASS") == len(COSTS)
    assert "ended in pair 8: Wrong: base, single: 1 events lost" in shown
    done = 0
    assert main(["HEAD", "--pairs", "7"]) == 0


@pytest.fixture
def redis(directory: Path) -> Iterator[Redis]:
    found = Redis(directory / "redis", "off")
    yield found
    found.stop()


@linux
@pytest.mark.process
def test_a_node_is_started_from_the_source_that_is_named(directory: Path, redis: Redis) -> None:
    """Not from the package that is installed."""
    package = directory / "src" / "payflux"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("raise SystemExit('this is another version')")
    assert compare.imported_from(ROOT / "src").is_relative_to(ROOT / "src")
    with pytest.raises(NodeFailed, match="this is another version"):
        Node(directory / "node", redis, 1, source=directory / "src")


@linux
@pytest.mark.usefixtures("history")
@pytest.mark.process
@pytest.mark.thorough
def test_two_versions_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A short pair of real nodes: every cost is there, and so few pairs prove nothing."""
    binary_or_skip("valkey-9")
    assert main(["HEAD", "--pairs", "1", "--seconds", "0.5", "--events", "500"]) == 1
    shown = capsys.readouterr().out
    assert shown.count("too few pairs") == len(COSTS), shown


@linux
@pytest.mark.usefixtures("history")
def test_a_commit_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is measured."""
    assert main(["no-such-commit"]) == 2
    assert "no-such-commit" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["HEAD", "--pairs", "0"], ["HEAD", "--seconds", "-1"], []])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    """With the words of the command line."""
    with pytest.raises(SystemExit):
        parse(arguments)
