"""What webhooks become, as a library: to check exports of one's own without a server.

from payflux.normalize import normalize

for event in normalize("stripe", body, hash_key="…"):
    print(event.data, event.retry, event.counts_against_processor)
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from payflux.event.taxonomy import failure_of
from payflux.settings import load
from payflux.webhooks import Opening, Source, Unreadable, Webhook, WebhookAdapter
from payflux.webhooks.identifiers import Hasher
from payflux.webhooks.normal import Normaliser
from payflux.webhooks.registry import ADAPTERS, load_source
from payflux.webhooks.vocabulary import OUTCOMES

__all__ = ["Normalized", "Unreadable", "normalize"]


class Normalized(NamedTuple):
    """One event, and what its failure means; these are None where nothing failed.

    Attributes:
        data: the canonical JSON of the event, as it would be stored.
        category: a category of failures, `unknown` for one that nobody knows.
        retry: what a retry could do.
        origin: who caused it.
        counts_against_processor: it says something of the processor's health.
        unmapped: the name of a failure nobody knows; else empty.
    """

    data: bytes
    category: str | None = None
    retry: str | None = None
    origin: str | None = None
    counts_against_processor: bool | None = None
    unmapped: str = ""


def normalize(processor: str, body: bytes, hash_key: str, adapter: str = "") -> list[Normalized]:
    """The events that the body of a webhook becomes.

    Its signature is not looked at, as it is yours; so every reason in it is believed.

    Args:
        processor: whose it is, `stripe` for one.
        body: as the processor sent it; or an object or a list of its API, or a line of its reports as an object of
            texts, as far as the processor's are known.
        hash_key: key of the hashes of identifiers; events are equal to those of a node with the same key.
        adapter: one of your own: the path of its file, `adapters/acme.toml`, or `module:Source`.

    Raises:
        ValueError: nobody knows this processor, or the adapter cannot be had.
        Unreadable: it is no such body; the text says why and holds no value.
    """
    source, reader, normaliser = _parts(processor, hash_key, adapter)
    exported = source.exported(body)
    found = []
    for payment in reader.read(Webhook(body, {})) if exported is None else exported:
        normal = normaliser.event(msgspec.structs.replace(payment, vouched=True))
        failed = OUTCOMES[payment.event_type] == "failure"
        found.append(_told(normal.event.data, normal.unmapped) if failed else Normalized(normal.event.data))
    return found


class _Told(msgspec.Struct):
    failure_category: str
    failure_origin: str
    network_response_code: str = ""
    card_network: str = ""


_read = msgspec.json.Decoder(_Told)


def _told(data: bytes, unmapped: str) -> Normalized:
    told = _read.decode(data)
    failure = failure_of(*msgspec.structs.astuple(told))
    return Normalized(data, *failure, unmapped)


@lru_cache(maxsize=16)
def _parts(processor: str, hash_key: str, adapter: str) -> tuple[Source, WebhookAdapter, Normaliser]:
    if not adapter and processor not in ADAPTERS:
        raise ValueError(f"expected one of {', '.join(ADAPTERS)}, or an adapter")
    source: Source = load_source(adapter or ADAPTERS[processor])
    reader = source.make(Opening(load(source.settings, {}), ()))
    return source, reader, Normaliser(processor, Hasher(hash_key))
