"""Delivery: tried until it is confirmed, with patience; what is refused for good is told, and what fails is counted."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

import pytest

from payflux.errors import ExportFailed
from payflux.exporters.delivery import SUSPICIOUS, DeliveryQueue, Patience
from payflux.exporters.fanout import FanOut
from payflux.telemetry.metrics import (
    EXPORT_ERRORS,
    EXPORT_LAST_SUCCESS,
    EXPORTED,
    EXPORTER_FAILING,
    Metrics,
    create_slab,
    give_destinations,
)
from servers import until

Step = Exception | Mapping[int, str]


class Scripted:
    """Does what it is told to, once for each delivery; then it takes everything."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.got: list[list[bytes]] = []
        self.closed = False

    def deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Keep the lines, and do the next step."""
        self.got.append(list(lines))
        step = self.steps.pop(0) if self.steps else {}
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        """It is let go of."""
        self.closed = True


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """Numbers of an exporter's consumer."""
    slab = create_slab(["consumer"])
    give_destinations(slab, ["stdout", "webhook"])
    yield Metrics(slab, "consumer")
    os.close(slab.fd)


def queue_of(exporter: Scripted, metrics: Metrics, wants: Callable[[bytes], bool] | None = None) -> DeliveryQueue:
    """It behind a queue that never waits long."""
    return DeliveryQueue("webhook", exporter, metrics, wants, 0.01, now=lambda: 5.0)


def test_lines_are_confirmed_as_they_are_taken(metrics: Metrics) -> None:
    """All at once, in order; counted, with the time, and settled for a successor."""
    exporter = Scripted()
    fan_out = FanOut([queue_of(exporter, metrics)])
    assert fan_out.confirm([b"1\n", b"2\n"]).result(10) == {}
    assert exporter.got == [[b"1\n", b"2\n"]]
    assert (metrics.get(EXPORTED, 1), metrics.get(EXPORT_LAST_SUCCESS, 1)) == (2, 5.0)
    assert (fan_out.published, fan_out.settled, fan_out.written) == (2, 2, 2)
    assert metrics.notes.destination(1).settled == 2
    fan_out.end(10)
    assert exporter.closed


def test_it_is_tried_until_it_succeeds(metrics: Metrics) -> None:
    """The same lines each time, whatever is raised; each try is counted by its reason."""
    exporter = Scripted(ExportFailed("busy", "later"), ExportFailed("unheard", "of"), RuntimeError("a defect"))
    queue = queue_of(exporter, metrics)
    assert queue.confirm([b"1\n"]).result(10) == {}
    assert exporter.got == [[b"1\n"]] * 4
    counted = [metrics.get(EXPORT_ERRORS, 1, reason) for reason in ("busy", "write")]
    assert (counted, metrics.get(EXPORTED, 1), metrics.get(EXPORTER_FAILING, 1)) == ([1, 2], 1, 0)
    queue.end(10)


def test_what_nobody_waits_for_is_given_up(metrics: Metrics) -> None:
    """Who wants nothing any more is waited for without end, until the batch is cancelled; it fails till then."""
    exporter = Scripted(ExportFailed("gone", "410", wait=inf))
    queue = queue_of(exporter, metrics)
    confirmed = queue.confirm([b"1\n"])
    until(lambda: metrics.get(EXPORTER_FAILING, 1) == 1, "it to fail")
    assert not confirmed.done()
    confirmed.cancel()
    assert queue.confirm([b"2\n"]).result(10) == {}
    assert exporter.got == [[b"1\n"], [b"2\n"]]
    assert metrics.get(EXPORTED, 1) == 1
    queue.end(10)


def test_only_what_is_wanted_is_delivered(metrics: Metrics) -> None:
    """The others are confirmed without it, and a refusal names the place among all of them."""
    exporter = Scripted({1: "odd"})
    queue = queue_of(exporter, metrics, lambda line: line != b"2\n")
    assert queue.confirm([b"1\n", b"2\n", b"3\n"]).result(10) == {2: "odd"}
    assert queue.confirm([b"2\n"]).result(10) == {}
    assert exporter.got == [[b"1\n", b"3\n"]]
    assert (metrics.get(EXPORTED, 1), metrics.get(EXPORT_ERRORS, 1, "refused")) == (1, 1)
    queue.end(10)


def test_a_destination_that_refuses_everything_is_not_believed(metrics: Metrics) -> None:
    """A hundred in a row and none taken: the next refusal is a failure, until something is taken again."""
    odd: list[Step] = [{0: "odd"}] * (SUSPICIOUS - 1)
    exporter = Scripted(*odd, {0: "odd"}, {}, {0: "odd"})
    queue = queue_of(exporter, metrics)
    for _ in odd:
        assert queue.confirm([b"1\n"]).result(10) == {0: "odd"}
    assert queue.confirm([b"2\n"]).result(10) == {}  # at the second try
    assert metrics.get(EXPORT_ERRORS, 1, "all_refused") == 1
    assert queue.confirm([b"3\n"]).result(10) == {0: "odd"}
    queue.end(10)


def test_patience_grows_and_does_as_it_is_asked() -> None:
    """Up to the longest wait, with jitter; longer when it is asked for, but for a quarter of an hour at most."""
    patience = Patience(8.0)
    spans = [patience.seconds(0.0) for _ in range(7)]
    for span, most in zip(spans, (0.5, 1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= span <= most
    assert (patience.seconds(30.0), patience.seconds(1e9), patience.seconds(inf)) == (30.0, 900.0, inf)
