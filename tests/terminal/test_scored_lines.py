"""Lines as a node would write them, away from a node: scored in stream order, and filtered by what they say."""

import json

import msgspec
import pytest

from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.outcome import OUTCOMES
from payflux.redis.address import REDIS_URL
from payflux.risk.scoring import SETTINGS
from payflux.settings import load
from payflux.stream.deliveries import Delivery
from payflux.terminal.scored_lines import LineFilter, LineMaker
from payflux.testing import make_event

VALUES = load((OUTCOMES, REDIS_URL, *SETTINGS), {})


def delivery(number: int, **members: object) -> Delivery:
    """An entry of the stream."""
    data = decode_event(json.dumps(make_event(**members)).encode()).data
    return Delivery(b"%d-0" % (1_767_957_855_000 + number), number, data)


def test_a_line_is_that_of_the_export() -> None:
    """The event with its place, its consumer and its score, in one line."""
    line = LineMaker("me", VALUES).line(delivery(1))
    exported = msgspec.json.decode(line.data)
    assert line.data.endswith(b"}\n")
    assert exported["stream_message_id"] == "1767957855001-0" == line.shown.stream_message_id
    assert (exported["consumer_name"], exported["processor_risk_band"]) == ("me", line.shown.band)


def test_what_is_no_event_is_refused() -> None:
    """As the node would dead-letter it."""
    with pytest.raises(InvalidEvent):
        LineMaker("me", VALUES).line(Delivery(b"1-0", 1, b"{}"))


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (LineFilter(), True),
        (LineFilter(processors={"stripe"}), True),
        (LineFilter(processors={"adyen"}), False),
        (LineFilter(outcomes={"failure"}, categories={"processor_timeout"}), True),
        (LineFilter(outcomes={"success"}), False),
        (LineFilter(categories={"fraud"}), False),
    ],
)
def test_filters_agree_before_and_after_scoring(wanted: LineFilter, taken: bool) -> None:
    """An entry that may be taken is taken, its band aside."""
    entry = delivery(1)
    assert wanted.may_take(entry) is taken
    assert wanted.takes(LineMaker("me", VALUES).line(entry).shown) is taken


def test_a_band_is_known_only_once_scored() -> None:
    """So it is no reason to pass an entry over, and decides afterwards."""
    entry, wanted = delivery(1), LineFilter(bands={"critical"})
    assert wanted.may_take(entry)
    assert not wanted.takes(LineMaker("me", VALUES).line(entry).shown)
