"""The webhooks' side without sockets and Redis: adapters, endpoints over a stream in memory, and signed samples."""

import json
import os
import random
import weakref
from pathlib import Path
from typing import Any

import msgspec

from ingesting import Answer, Clock, MemoryStream
from payflux.http.messages import Request, Response
from payflux.ingest.token_bucket import BUCKETS, TokenBucket
from payflux.node.settings import SETTINGS
from payflux.operations.exposition import Exposition
from payflux.settings import Values, load
from payflux.telemetry.metrics import Metrics, create_slab
from payflux.webhooks import Opening, Payment, Source, Webhook, WebhookAdapter
from payflux.webhooks.endpoint import Parts, WebhookEndpoint
from payflux.webhooks.identifiers import Hasher
from payflux.webhooks.normal import Normal, Normaliser
from payflux.webhooks.registry import ADAPTERS, load_source, secrets_of
from payflux.webhooks.sampling import samples_of

HASH_KEY = "a key of hashes for tests"
SECRETS = {
    "stripe": ("whsec_first0123456789", "whsec_second0123456789"),
    "adyen": ("44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", "ab" * 32),
    "checkout": ("a signature key of a workflow", "another one of them"),
    "paypal": ("1JE4291016473214C", "8PT597110X687430L"),
    "braintree": ("public1:private key 1", "public2:private key 2"),
    **dict.fromkeys(
        ("gocardless", "mollie", "razorpay", "square", "worldpay"), ("the first signing secret", "the second one")
    ),
}
"""Two live secrets of each processor."""

FILES = sorted((Path(__file__).parent.parent.parent / "examples" / "webhooks").glob("*.toml"))
TARGETS = ADAPTERS | {file.stem: str(file) for file in FILES}
"""Every adapter, those that are shipped as files among them."""

NOW = 1_767_960_000.0  # 2026-01-09T12:00:00Z


def source_of(processor: str) -> Source:
    """The source of a processor."""
    return load_source(TARGETS[processor])


def environ(*processors: str, **further: str) -> dict[str, str]:
    """What takes webhooks of these processors."""
    secrets = {secrets_of(name).name: ",".join(SECRETS[name]) for name in processors}
    trial = dict(pair for name in processors for pair in source_of(name).trial)
    return {"PAYFLUX_HASH_KEY": HASH_KEY, "PAYFLUX_API_KEY": "key", **secrets, **trial, **further}


def values_of(*processors: str, **further: str) -> Values:
    """The settings of a node that takes them."""
    return load(SETTINGS, environ(*processors, **further))


def sample(processor: str, name: str, seed: int = 1, now: float = NOW) -> Any:
    """A sample as it would come, decoded."""
    return json.loads(samples_of(processor, TARGETS[processor]).body(name, random.Random(seed), now))


def signed(processor: str, body: object, *, secret: int = 0, now: float = NOW) -> Webhook:
    """A body, signed as the processor does."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return source_of(processor).sign(data, SECRETS[processor][secret], now)


class Reading:
    """An adapter alone, with what it reads made an event."""

    def __init__(self, processor: str, **further: str) -> None:
        values = values_of(*({processor} & {*ADAPTERS}), **further)
        secrets = values[secrets_of(processor)] if processor in ADAPTERS else SECRETS[processor]
        assert secrets is not None
        self.adapter = source_of(processor).make(Opening(values, secrets))
        self._processor, self._normaliser = processor, Normaliser(processor, Hasher(HASH_KEY))

    def payments(self, body: object) -> list[Payment]:
        """What a body says; Braintree's is written as JSON here alone."""
        data = msgspec.json.encode(body)
        webhook = source_of("braintree").sign(data, "a:b", NOW) if self._processor == "braintree" else Webhook(data, {})
        return list(self.adapter.read(webhook))

    def normals(self, body: object) -> list[Normal]:
        """What becomes of it."""
        return [self._normaliser.event(payment) for payment in self.payments(body)]

    def event(self, body: object) -> dict[str, Any]:
        """The one event it becomes, decoded."""
        (normal,) = self.normals(body)
        found: dict[str, Any] = json.loads(normal.event.data)
        return found


class Receiver:
    """The endpoint of one processor over a stream in memory, at noon."""

    def __init__(
        self, processor: str, rate: int = 1_000_000, adapter: WebhookAdapter | None = None, **further: str
    ) -> None:
        self.stream, self.clock = MemoryStream(), Clock()
        self.slab = create_slab(["ingest-0"], **{BUCKETS: 8})
        weakref.finalize(self, os.close, self.slab.fd)
        metrics = Metrics(self.slab, "ingest-0")
        reading = Reading(processor, **further)
        bucket = TokenBucket(rate, rate, self.slab, alone=True, now=self.clock)
        source, normaliser = source_of(processor), Normaliser(processor, Hasher(HASH_KEY))
        parts = Parts(processor, source, adapter or reading.adapter, normaliser, self.stream, bucket, 0)
        self.now = NOW
        self.endpoint = WebhookEndpoint(parts, metrics, lambda: self.now, lambda work: work())

    def send(self, webhook: Webhook, **headers: bytes) -> Response:
        """One webhook, from its head to its answer."""
        given = dict(webhook.headers) | {name.replace("_", "-").encode(): text for name, text in headers.items()}
        request = Request("POST", "/", "", given, b"", len(webhook.body))
        refusal = self.endpoint.admit(request)
        if refusal is not None:
            return refusal
        request.body = webhook.body
        answers: list[Response] = []
        self.endpoint.handle(request, answers.append)
        self.stream.work()
        (answer,) = answers
        return answer

    def begin(self, webhook: Webhook) -> list[Response]:
        """One webhook whose answer may take its time; what there is of it yet."""
        request = Request("POST", "/", "", dict(webhook.headers), webhook.body, len(webhook.body))
        answers: list[Response] = []
        self.endpoint.handle(request, answers.append)
        return answers

    def refusal(self, webhook: Webhook, **headers: bytes) -> tuple[int, object]:
        """Status and code of a refusal."""
        answer = Answer(self.send(webhook, **headers))
        return answer.status, answer.code

    def events(self) -> list[dict[str, Any]]:
        """What is stored."""
        return [json.loads(data) for data in self.stream.entries]

    def counted(self) -> dict[str, float]:
        """Every counter of webhooks that is not 0, by its labels without the processor."""
        return {
            " ".join(list(sample.labels.values())[1:]): sample.value
            for family in Exposition(self.slab).collect()
            for sample in family.samples
            if sample.value and sample.name in ("payflux_webhook_events_total", "payflux_webhook_unmapped_total")
        }
