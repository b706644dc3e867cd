"""Metrics: what they are called, and where they lie."""

import os
import re
from collections.abc import Iterator
from itertools import product

import pytest

from payflux.operations.exposition import INFO, REDIS_GAUGES
from payflux.telemetry import metrics as m
from payflux.telemetry.metrics import (
    METRICS,
    OF_EXPORTERS,
    OFFSETS,
    SLOTS,
    Metrics,
    create_slab,
    give_destinations,
    place_of,
    sections_of,
)
from payflux.telemetry.notes import DESTINATIONS, ChildNotes
from payflux.telemetry.slab import Slab

CHILDREN = ("supervisor", "consumer", "ingest-0", "ingest-1")


@pytest.fixture
def slab() -> Iterator[Slab]:
    """The shared memory of a node with two ingest processes."""
    slab = create_slab(CHILDREN)
    yield slab
    os.close(slab.fd)


def test_no_two_series_share_a_slot() -> None:
    """Every series of every metric, every bucket and every number of state has a slot of its own in the section."""
    taken: dict[int, object] = {}
    slab = create_slab(["only"])
    metrics = Metrics(slab, "only")
    for metric in METRICS:
        if metric.kind == "histogram":
            slots = [OFFSETS[metric] + at for at in range(metric.slots)]
        else:
            spans: list[tuple[str | int, ...]] = [
                label.values or tuple(range(label.cardinality)) for label in metric.labels
            ]
            slots = [metrics.slot(metric, *labels) for labels in product(*spans)]
        assert len(slots) == metric.slots
        for slot in slots:
            assert taken.setdefault(slot, metric) is metric
        assert len(set(slots)) == len(slots)
    states = range(metrics.notes.start, metrics.notes.start + ChildNotes.SIZE)
    assert sorted([*taken, *states]) == list(range(SLOTS)) == list(range(len(metrics.values)))
    os.close(slab.fd)


def test_a_label_value_nobody_declared_is_an_error(slab: Slab) -> None:
    """A value outside the fixed set cannot become a series, nor can a wrong number of labels."""
    metrics = Metrics(slab, "ingest-0")
    with pytest.raises(ValueError, match="tuple"):
        metrics.add(m.INGEST_REJECTED, "unheard_of")
    with pytest.raises(ValueError, match="zip"):
        metrics.add(m.INGEST_REJECTED)


def test_names_follow_the_rules_of_prometheus() -> None:
    """Counters alone end in _total, units are base units at the end, and labels are plain and not reserved."""
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert not re.search(
            r"_(ms|millis\w*|minutes|kb|mb|percent|counter|gauge|histogram|sum|count|bucket)\b", metric.name
        )
        assert (metric.kind == "histogram") <= metric.name.endswith("_seconds")
        assert metric.help.endswith(".")
        for label in metric.labels:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label.name)
            assert label.name not in {"le", "quantile", "instance", "job"}
            assert bool(label.values) != bool(label.table)
            assert len(set(label.values)) == len(label.values)
            assert "other" not in label.values
    names = [metric.name for metric in (*METRICS, *OF_EXPORTERS)] + [*REDIS_GAUGES, *INFO]
    assert len(set(names)) == len(names)
    assert all(text.endswith(".") for text in [*REDIS_GAUGES.values(), *INFO.values()])


def test_destinations_are_known_to_every_process_from_the_start(slab: Slab) -> None:
    """What is given when the memory is made has the same number for all; more than there is room for is an error."""
    give_destinations(slab, ["stdout", "file"])
    assert [Metrics(slab, name).destinations.index("file") for name in CHILDREN] == [1] * len(CHILDREN)
    with pytest.raises(ValueError, match="more than 16"):
        give_destinations(slab, [f"d{number}" for number in range(DESTINATIONS + 1)])


def test_a_process_has_its_place_and_its_section(slab: Slab) -> None:
    """Places follow the order in which the processes were named."""
    for place, name in enumerate(CHILDREN):
        assert place_of(slab, name) == place
        Metrics(slab, name).add(m.INGEST_ACCEPTED, n=place)
    assert [section[OFFSETS[m.INGEST_ACCEPTED]] for section in sections_of(slab)] == [0, 1, 2, 3]


def test_a_gauge_nobody_set_is_no_number(slab: Slab) -> None:
    """What was never measured is not 0, and blanking forgets."""
    metrics = Metrics(slab, "consumer")
    assert metrics.get(m.CONSUMER_ACTIVE) != metrics.get(
        m.CONSUMER_ACTIVE
    )  # only what is no number differs from itself
    metrics.set(m.CONSUMER_ACTIVE, to=1)
    assert metrics.get(m.CONSUMER_ACTIVE) == 1
    metrics.blank(m.CONSUMER_ACTIVE)
    assert metrics.get(m.CONSUMER_ACTIVE) != 1
