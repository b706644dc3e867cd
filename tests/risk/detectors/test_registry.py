"""The registry of detectors: names, weights, and what is remembered of attempts."""

import pytest

from payflux.event.taxonomy import failure_of
from payflux.risk.detectors.detector import Attempt
from payflux.risk.detectors.registry import DETECTORS, KINDS, signs_of
from payflux.risk.drivers import DRIVERS
from payflux.risk.evidence import streams
from payflux.risk.evidence.streams import OTHER_SEGMENT, SEGMENT, Kind


def test_names_are_unique_and_drivers_are_explained() -> None:
    """A sign has a name of its own, and each driver stands among all others with its meaning."""
    assert len(KINDS) == len(DETECTORS) == len({one.driver for one in DETECTORS})
    assert all(DRIVERS[one.driver] == one.meaning for one in DETECTORS)


def test_all_charts_together_have_the_weight_of_one() -> None:
    """Else they would be false more often than one chart is."""
    kinds = [one for one in vars(streams).values() if isinstance(one, Kind)]
    kinds += [*SEGMENT.values(), *OTHER_SEGMENT.values(), *KINDS.values()]
    assert sum(one.weight for one in kinds) == pytest.approx(1.0)


def test_an_attempt_may_show_several_signs() -> None:
    """They come in the order of the detectors; a plain one shows none."""
    assert signs_of(Attempt(None, "visa", 1)) == ()
    assert signs_of(Attempt(failure_of("stolen_card"), "visa", 18)) == ("retries_near_limit", "forbidden_retries")
