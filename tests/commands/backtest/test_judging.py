"""Warnings beside the truth."""

import pytest

from payflux.commands.backtest.judging import Found, Truth, judged, names, read_truths
from payflux.risk.episodes import Episode

HOUR = 1_767_225_600


def truth(start: int, end: int, processor: str = "stripe", scenario: str = "outage", benign: bool = False) -> Truth:
    """An incident, its times in seconds."""
    text = (
        f'{{"scenario":"{scenario}","processor":"{processor}",'
        f'"start":"2026-01-01T00:{start // 60:02}:{start % 60:02}Z",'
        f'"end":"2026-01-01T{end // 3600:02}:{end // 60 % 60:02}:{end % 60:02}Z","benign":{str(benign).lower()}}}'
    )
    return read_truths(text.encode())[0]


def warning(opened: int, resolved: int | None, driver: str = "high_failure_rate", processor: str = "stripe") -> Episode:
    """A warning, its times in seconds after the hour."""
    return Episode(processor, driver, "", "", "high", HOUR + opened, 0.7, None if resolved is None else HOUR + resolved)


def found(truths: list[Truth], *warnings: Episode) -> list[tuple[float | None, int, float | None]]:
    """Delay (None: missed), warnings and time to clear of each incident."""
    judgement = judged(truths, warnings, HOUR + 3600)
    return [(one.delay if one.warning else None, one.episodes, one.cleared) for one in judgement.found]


def test_an_incident_is_found_by_the_first_warning_of_it() -> None:
    """Its delay counts from the start of the incident, its clearing from the end."""
    assert found([truth(100, 700)], warning(112, 400), warning(600, 760)) == [(12, 2, 60)]


def test_two_that_overlap_are_over_when_both_are() -> None:
    """Until then the processor is in trouble, and its warning has no reason to end; one elsewhere keeps none on."""
    pair = [truth(100, 700), truth(500, 1300), truth(600, 1900, "adyen"), truth(1400, 1500)]
    assert found(pair, warning(112, 1360))[0] == (12, 1, 60)


@pytest.mark.parametrize(
    ("opened", "processor", "expected"),
    [(819, "stripe", 719), (821, "stripe", None), (112, "adyen", None), (99, "stripe", None)],
)
def test_a_warning_elsewhere_or_at_another_time_does_not_find_it(
    opened: int, processor: str, expected: float | None
) -> None:
    """Two minutes after its end it is still found."""
    assert found([truth(100, 700)], warning(opened, opened, processor=processor))[0][0] == expected


def test_what_was_warned_of_already_cannot_be_judged() -> None:
    """Nobody knows what would have been said if there had been no warning before."""
    assert found([truth(100, 700)], warning(50, 101)) == []
    assert found([truth(100, 700)], warning(50, None)) == []
    assert found([truth(100, 700)], warning(50, 99)) == [(None, 0, None)]


def test_an_incident_after_the_end_of_the_traffic_is_left_out() -> None:
    """Nothing can be found of it."""
    assert judged([truth(100, 700)], [], HOUR + 100).found == []


def test_false_alarms_are_those_about_nothing() -> None:
    """Half an hour after an incident still belongs to it; what is benign or elsewhere excuses nothing."""
    warnings = [warning(at, at + 1) for at in (90, 100, 2400, 2600)]
    quiet = truth(0, 3000, scenario="flash_sale", benign=True)
    judgement = judged([truth(100, 700), quiet, truth(0, 3000, "adyen")], warnings, HOUR + 3600)
    assert [one.opened_at - HOUR for one in judgement.false] == [90, 2600]
    assert [one.truth.scenario for one in judgement.found if one.truth.processor == "stripe"] == ["outage"]


def test_delays_in_the_middle_and_late() -> None:
    """Of those that were found; without any there are none."""
    truths = [truth(60 * at, 60 * at + 30) for at in range(0, 50, 5)]
    judgement = judged(truths, [warning(60 * at + at, 60 * at + 40) for at in range(0, 45, 5)], HOUR + 3600)
    assert (judgement.middle_delay, judgement.late_delay) == (20, 36)
    nothing = judged(truths, [], HOUR + 3600)
    assert (nothing.middle_delay, nothing.late_delay, nothing.found[0]) == (None, None, Found(truths[0]))


@pytest.mark.parametrize(
    ("driver", "value", "right"),
    [
        ("segment_degradation", "GB", True),
        ("segment_degradation", "US", False),
        ("high_failure_rate", "", True),
        ("volume_drop", "GB", False),
    ],
)
def test_a_warning_names_the_driver_in_its_place(driver: str, value: str, right: bool) -> None:
    """The driver of the incident where it is, or one that is right as well."""
    label = b'{"scenario":"x","processor":"p","start":"2026-01-01T00:00:00Z","end":"2026-01-01T01:00:00Z"'
    [partial] = read_truths(
        label + b',"driver":"segment_degradation","dimension":"geo","value":"GB","also":["high_failure_rate"]}'
    )
    one = Episode("p", driver, "geo" if value else "", value, "high", HOUR, 0.7)
    assert names(one, partial) is right
    [anything] = read_truths(label + b"}")
    assert names(one, anything)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'\n{"scenario":"x"}', "line 2: .*processor"),
        (b"no json", "line 1: "),
        (
            b'{"scenario":"x","processor":"p","start":"2026-01-01T00:00:00","end":"2026-01-01T00:00:00Z"}',
            "line 1: .*offset",
        ),
    ],
)
def test_what_is_no_label_is_named_by_its_line(data: bytes, problem: str) -> None:
    """People write such files by hand."""
    with pytest.raises(ValueError, match=problem):
        read_truths(data)
