"""Events of attempts: names for the numbers, hashes and ids that never come twice."""

from bisect import bisect_right
from hashlib import blake2b

from payflux.event.decode import EVENT_FIELDS
from payflux.load.corpus.attempts import Attempt
from payflux.load.corpus.chance import stream
from payflux.load.corpus.population import (
    AMOUNT_BUCKETS,
    AMOUNT_EDGES,
    CARDS,
    CATEGORIES,
    CHANNELS,
    COUNTRIES,
    DECLINES,
    GEOS,
    MERCHANTS,
    METHODS,
    NETWORK_OF,
    NETWORKS,
)
from payflux.load.corpus.scenarios import stamp

Event = dict[str, object]
"""An event as a producer sends it: the contract's fifteen members in their order, then additive ones."""

BLANK: Event = dict.fromkeys(EVENT_FIELDS, "") | {"retry_count": 0}
VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_METHODS, _CHANNELS = tuple(METHODS), tuple(CHANNELS)
_SOURCES = tuple(channel.source for channel in CHANNELS.values())
_INITIATORS = tuple(channel.initiator for channel in CHANNELS.values())
_CURRENCIES = tuple(GEOS[country].currency if country in GEOS else "USD" for country in COUNTRIES)
_ORIGINS = ("", *(decline.origin for decline in DECLINES.values()))
_CODES = ("", *(decline.code for decline in DECLINES.values()))
_IS_CARD = tuple(method in CARDS for method in METHODS)


class Namer:
    """Turns attempts into events, in the order of their times.

    Args:
        seed: decides merchants; with the start it decides all other hashes and the ids, or a second run would be all
            duplicates to a node.
        start_ms: of the traffic, Unix milliseconds.
        processors: the processor of each source, by number; may grow.
    """

    def __init__(self, seed: int, start_ms: int, processors: list[str]) -> None:
        self._start_ms = start_ms
        self._processors = processors
        self._ids = stream(seed, start_ms, "ids")
        self._salt = self._ids.getrandbits(256).to_bytes(32, "big")
        merchants = stream(seed, "merchant ids")
        self._merchants = [f"{merchants.getrandbits(128):032x}" for _ in range(MERCHANTS)]
        self._second = -1
        self._stamp = ""

    def event(self, attempt: Attempt) -> Event:
        """The event of an attempt."""
        at, source, payment, tries, category, latency = attempt
        hashes = self._hashes(source, payment.order)
        event: Event = {
            "event_type": "payment_failed" if category else "payment_succeeded",
            "event_timestamp": self._time(at),
            "event_id": self._event_id(),
            "merchant_id_hash": self._merchants[payment.merchant],
            "payment_intent_id_hash": hashes[:32],
            "processor": self._processors[source],
            "failure_category": CATEGORIES[category],
            "retry_count": tries,
            "geo_bucket": COUNTRIES[payment.geo],
            "amount_bucket": AMOUNT_BUCKETS[bisect_right(AMOUNT_EDGES, payment.amount)],
            "system_source": _SOURCES[payment.channel],
            "payment_method_bucket": _METHODS[payment.method],
            "channel": _CHANNELS[payment.channel],
            "retry_result": "failed" if category else "succeeded" if tries else "",
            "failure_origin": _ORIGINS[category],
        }
        if _IS_CARD[payment.method]:
            event["payment_method_fingerprint_hash"] = hashes[32:]
            event["card_network"] = NETWORKS[NETWORK_OF[int(hashes[-1], 16)]]
            if _CODES[category]:
                event["network_response_code"] = _CODES[category]
        event["currency"] = _CURRENCIES[payment.geo]
        event["amount_minor"] = payment.amount
        event["initiator"] = _INITIATORS[payment.channel]
        event["latency_ms"] = latency
        event["issuer_country"] = COUNTRIES[payment.issuer]
        return event

    def _time(self, at: int) -> str:
        second, rest = divmod(self._start_ms + at, 1000)
        if second != self._second:
            self._second = second
            self._stamp = stamp(second * 1000)[:-4]
        return f"{self._stamp}{rest:03}Z"

    def _event_id(self) -> str:
        """A UUID of version 4."""
        digits = f"{self._ids.getrandbits(128):032x}"
        variant = VARIANT[digits[16]]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def _hashes(self, source: int, order: int) -> str:
        """The hashes of a payment and of its card, the same for all its attempts."""
        return blake2b(b"%d %d" % (source, order), digest_size=32, key=self._salt).hexdigest()
