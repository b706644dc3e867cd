"""Entries that somebody else may have appended: read as strictly as ingestion reads what producers send.

Ingestion has judged what it appends, and judging everything again would cost the consumer a third of its speed. Its
entries are told by their numbers: they go on one by one, and whoever puts an entry between them takes a number that
one of them has too. So a batch whose numbers go on is ours, unless strangers' entries stand at its end: its last entry
is judged, some of the others, and all of a small batch.
"""

from collections.abc import Sequence

import msgspec

from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.stream.deliveries import Delivery

FEW = 8  # so many cost next to nothing beside the commands that read and ack them
EVERY = 64


def are_ours(deliveries: Sequence[Delivery]) -> bool:
    """Whether ingestion has appended these and judged them; False when only reading them strictly can tell.

    Args:
        deliveries: in stream order.
    """
    if not deliveries:
        return True
    size, last = len(deliveries), deliveries[-1]
    if size <= FEW or last.seq - deliveries[0].seq != size - 1:
        return False
    try:
        for data in [one.data for one in deliveries if one.data is not None and not one.data.isascii()]:
            data.decode()
        return all(strictly(one) is one for one in (*deliveries[::EVERY], last))
    except (UnicodeDecodeError, InvalidEvent):
        return False


def strictly(delivery: Delivery) -> Delivery:
    """An entry with its event in canonical form: the same when it is in it already.

    Raises:
        InvalidEvent: it would have been refused at the door.
    """
    if delivery.data is None:
        return delivery
    canonical = decode_event(delivery.data).data
    return delivery if canonical == delivery.data else msgspec.structs.replace(delivery, data=canonical)
