"""Webhooks of hours as they would have come: signed, verified, normalised; and put into a stream at their times."""

import random
from collections.abc import Iterable, Sequence

from payflux.webhooks.sampling import samples_of
from receiving import NOW, Receiver, signed
from servers import Server

PASSWORD = "user:password"
PROVED = {"adyen": {"authorization": b"Basic dXNlcjpwYXNzd29yZA=="}}
"""What comes with a webhook beside its signature, so that its reasons count."""

Told = tuple[float, bytes]
"""When something was told, Unix seconds, and the event that it became."""


def told(processor: str, seed: int, spans: Sequence[tuple[float, str, float]], begin: float = NOW) -> list[Told]:
    """The events that a processor's webhooks become.

    Args:
        processor: whose.
        seed: of what comes when.
        spans: until which second which kind of traffic lasts, and how many webhooks a second it has on the mean.
        begin: Unix seconds.
    """
    receiver = Receiver(processor, PAYFLUX_WEBHOOK_ADYEN_BASIC=PASSWORD)
    chance, at, samples = random.Random(seed), 0.0, samples_of(processor)
    found: list[Told] = []
    for end, kind, rate in spans:
        while at < end:
            receiver.now = begin + at
            body = samples.body(samples.drawn(kind, chance), chance, receiver.now)
            answer = receiver.send(signed(processor, body, now=receiver.now), **PROVED.get(processor, {}))
            assert answer.status < 300
            found += [(receiver.now, event) for event in receiver.stream.entries]
            receiver.stream.entries.clear()
            at += chance.expovariate(rate) if rate else end - at
    return found


def put(server: Server, events: Iterable[Told]) -> int:
    """Append events as if they had come at their times, numbered as a node does; how many there are."""
    seq = 0
    with server.client.pipeline(transaction=False) as pipeline:
        for at, event in sorted(events):
            seq += 1
            pipeline.xadd("events_stream", {"data": event, "seq": seq}, id=f"{round(at * 1000)}-{seq}")
        pipeline.hset("{events_stream}:state", "seq", str(seq))
        pipeline.execute()
    return seq
