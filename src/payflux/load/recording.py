"""Traffic and the truth about it as JSON lines, faster than it would happen."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import BinaryIO

import msgspec

from payflux.load.corpus.scenarios import Incident, label_of
from payflux.load.traffic import Traffic

CHUNK_BYTES = 1 << 20


def record(traffic: Traffic, rate: float | None, end: float, out: BinaryIO, tell: Callable[[float], None]) -> int:
    """Write the events of some traffic, each as the line of JSON that a producer would send.

    Args:
        traffic: from its start.
        rate: events per second in normal traffic; None for what its processors have.
        end: when to stop, Unix seconds.
        out: where to.
        tell: told now and then how far it is, Unix seconds.

    Returns:
        How many there were.

    Raises:
        OSError: they cannot be written.
    """
    encode = msgspec.json.Encoder().encode_into
    chunk = bytearray()
    count = 0
    for at, event in takewhile(lambda arrival: arrival[0] < end, traffic.arrivals(rate)):
        encode(event, chunk, -1)
        chunk += b"\n"
        count += 1
        if len(chunk) > CHUNK_BYTES:
            out.write(chunk)
            chunk.clear()
            tell(at)
    out.write(chunk)
    out.flush()
    return count


def write_labels(incidents: Iterable[Incident], start: float, seconds: float, out: BinaryIO) -> None:
    """Write the labels of the incidents that began in traffic from `start`, Unix seconds, within so many `seconds`.

    Raises:
        OSError: they cannot be written.
    """
    for incident in takewhile(lambda incident: incident.start < seconds, incidents):
        label = label_of(incident, start, seconds)
        out.write(msgspec.json.encode(label._asdict()) + b"\n")
