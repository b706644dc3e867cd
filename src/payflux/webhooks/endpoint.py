"""The endpoint of one processor, `POST /v1/webhooks/{processor}`: verify the bytes that came, normalise, append.

A webhook is answered with success only when every event in it is in the stream, or was there already; else with 503,
and the processor sends all of it again.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from payflux.errors import StreamUnavailable
from payflux.http.limits import BODY_BYTES
from payflux.http.messages import JSON, TEXT, Request, Respond, Response, problem
from payflux.http.pipeline import defect
from payflux.ingest.answers import BODY_TOO_LARGE, too_fast, unavailable
from payflux.ingest.counters import IngestCounters
from payflux.ingest.token_bucket import TokenBucket
from payflux.log import log
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import WEBHOOK_EVENTS, WEBHOOK_LAST, WEBHOOK_UNMAPPED, Metrics
from payflux.telemetry.reasons import WEBHOOK_RESULTS
from payflux.webhooks import Source, Unreadable, Unready, Unverified, Webhook, WebhookAdapter
from payflux.webhooks.normal import Normal, Normaliser

T = TypeVar("T")
U = TypeVar("U")

GZIP = 16 + zlib.MAX_WBITS
REFUSALS = {
    "signature_missing": "the webhook carries no signature",
    "signature_wrong": "no live secret has signed this webhook",
    "timestamp_outside": "the webhook was signed too long ago, or for later",
}
UNVERIFIED = {code: problem(401, code, words) for code, words in REFUSALS.items()}
BAD_ENCODING = problem(
    415,
    "unsupported_encoding",
    "send the body as it is, or with Content-Encoding: gzip",
    headers=[(b"Accept-Encoding", b"gzip, identity")],
)
NOT_YET = problem(
    503,
    Unready.code,
    "the certificate of the processor cannot be had just now",
    headers=[(b"Retry-After", b"60")],
)
NO_GZIP = problem(400, "invalid_webhook", "the body is not valid gzip")


def unreadable(error: Unreadable) -> Response:
    """The refusal of what is signed and cannot be read."""
    return problem(400, error.code, str(error))


def accepted_of(source: Source) -> Response:
    """What a processor is told when all it sent is stored."""
    status, body = source.accepted
    return Response(status, body, JSON if body.startswith(b"{") else TEXT)


class Parts(NamedTuple):
    """What the endpoint of a processor is made of.

    Attributes:
        processor: its slug.
        source: what is known of its webhooks.
        adapter: understands them.
        normaliser: makes events of them.
        stream: where these go.
        bucket: the rates of processors.
        number: of the processor among them.
    """

    processor: str
    source: Source
    adapter: WebhookAdapter
    normaliser: Normaliser
    stream: AppendStream
    bucket: TokenBucket
    number: int


Waiting = tuple[Webhook, Respond]
"""A webhook that is worked off, and who waits for its answer."""

Ready = tuple[Sequence[Normal], Respond]
"""The events of one webhook, and who waits for the answer."""


class WebhookEndpoint:
    """Takes the webhooks of one processor.

    Args:
        parts: what it is made of.
        metrics: of this child.
        now: the clock signatures are compared with, Unix seconds.
        soon: runs something when everything that arrived together has been read; unset: the event loop does.
    """

    def __init__(
        self,
        parts: Parts,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._parts, self._metrics, self._now = parts, metrics, now
        self._soon = soon or asyncio.get_running_loop().call_soon
        self._arrived: list[tuple[Webhook, Waiting]] = []
        self._accepted = accepted_of(parts.source)
        self._counters = IngestCounters(metrics, time.monotonic)
        self._named = metrics.processors.index(parts.processor)
        self._slots = {result: metrics.slot(WEBHOOK_EVENTS, self._named, result) for result in WEBHOOK_RESULTS}
        self._last = metrics.slot(WEBHOOK_LAST, self._named)
        self._since = 0.0

    def admit(self, request: Request) -> Response | None:
        """Judge what the head alone tells; who sends is told by the body."""
        if request.content_length is not None and request.content_length > BODY_BYTES:
            return self._refuse("body_too_large", BODY_TOO_LARGE)
        encoding = request.headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() not in (b"identity", b"gzip"):
            return self._refuse("invalid", BAD_ENCODING)
        request.signed_handler = self._arrive
        return None

    def handle(self, request: Request, respond: Respond) -> None:
        """Store what it says and answer, or say why not."""
        self._arrive(request.headers, request.body, respond)

    def _arrive(self, headers: Mapping[bytes, bytes], packed: bytes, respond: Respond) -> None:
        body = unpacked(headers, packed)
        if isinstance(body, Response):
            reason = "body_too_large" if body is BODY_TOO_LARGE else "invalid"
            respond(self._refuse(reason, body))
        else:
            self._await_others(Webhook(body, headers), respond)

    def _await_others(self, webhook: Webhook, respond: Respond) -> None:
        """Keep it until all that came with it is there."""
        self._arrived.append((webhook, (webhook, respond)))
        if len(self._arrived) == 1:
            self._since = self._counters.now()
            self._soon(self._work)

    def _work(self) -> None:
        """Each step for all that arrived together: a processor that finds its code at hand takes half the time."""
        arrived, self._arrived = self._arrived, []
        adapter, normal, now = self._parts.adapter, self._parts.normaliser.event, self._now()

        def proved(webhook: Webhook) -> Webhook:
            adapter.verify(webhook, now)
            return webhook

        payments = self._each(lambda webhook: [*adapter.read(webhook)], self._each(proved, arrived))
        ready = self._each(lambda told: [*map(normal, told)], payments)
        if ready:
            self._metrics.values[self._last] = now
            self._take([(found, respond) for found, (_, respond) in ready])

    def _each(self, step: Callable[[T], U], arrived: Sequence[tuple[T, Waiting]]) -> list[tuple[U, Waiting]]:
        """What a step makes of each; whoever waits for one that fails is answered."""
        passed = []
        for what, waiting in arrived:
            try:
                passed.append((step(what), waiting))
            except (Unverified, Unready, Unreadable) as error:
                self._guarded(waiting[1], partial(self._answer, error, *waiting))
            except Exception as error:  # noqa: BLE001 - a defect of ours costs one request, not those beside it
                waiting[1](defect(error))
        return passed

    @staticmethod
    def _guarded(respond: Respond, step: Callable[[], None]) -> None:
        """Do the last step for one who waits: a defect of ours costs that one, as in the steps before."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            respond(defect(error))

    def _answer(self, error: Unverified | Unready | Unreadable, webhook: Webhook, respond: Respond) -> None:
        if isinstance(error, Unverified):
            respond(self._refuse(error.code, UNVERIFIED[error.code]))
        elif isinstance(error, Unreadable):
            log("warning", "webhook_unreadable", processor=self._parts.processor, detail=str(error))
            respond(self._refuse("invalid", unreadable(error)))
        elif error.then is None:
            respond(self._refuse("unavailable", NOT_YET))
        else:
            error.then(partial(self._await_others, webhook, respond))

    def _take(self, ready: Sequence[Ready]) -> None:
        """All of them at once, as one costs less among others; one by one where that meets a defect of ours."""
        ready = self._within_rate(ready)
        if told := [one for one in ready if one[0]]:
            try:
                self._append(told)
            except Exception:  # noqa: BLE001 - it costs the one it belongs to
                for one in told:
                    self._guarded(one[1], partial(self._append, [one]))
        for found, respond in ready:
            if not found:  # it says nothing of payments
                self._count("ignored")
                self._guarded(respond, partial(respond, self._accepted))

    def _within_rate(self, ready: Sequence[Ready]) -> Sequence[Ready]:
        """Those that are; the others are answered."""
        try:
            if self._parts.bucket.take_each(self._parts.number, sum(max(1, len(found)) for found, _ in ready)):
                return ready
        except Exception as error:  # noqa: BLE001 - it costs those that asked
            for _, respond in ready:
                respond(defect(error))
            return ()
        return [one for one in ready if self._passes(*one)]

    def _passes(self, found: Sequence[Normal], respond: Respond) -> bool:
        cost = max(1, len(found))
        wait = self._parts.bucket.take(self._parts.number, cost)
        if wait:
            respond(self._refuse("rate_limited", too_fast(wait), cost))
        return not wait

    def _append(self, told: Sequence[Ready]) -> None:
        events = [one.event for found, _ in told for one in found]
        self._parts.stream.append(events, partial(self._stored, told, self._since))

    def _stored(self, told: Sequence[Ready], started: float, results: bytes, error: StreamUnavailable | None) -> None:
        """Answer: success where all of a webhook is stored, or was before."""
        self._counters.took(started, len(told))
        self._counters.stored_of(self._named, results)
        appended = results.count(APPENDED)
        self._count("accepted", appended)
        self._count("duplicate", len(results) - appended)
        refusal, at = self._accepted if error is None else unavailable(error), 0
        for found, respond in told:
            got = results[at : at + len(found)]
            at += len(found)
            for one, result in zip(found, got, strict=False):
                if one.unmapped and result == APPENDED:
                    self._metrics.add(WEBHOOK_UNMAPPED, self._named, self._metrics.codes.index(one.unmapped))
            if len(got) == len(found):
                respond(self._accepted)
            else:
                respond(self._refuse("unavailable", refusal, len(found) - len(got)))

    def _refuse(self, reason: str, response: Response, events: int = 1) -> Response:
        self._count(reason, events)
        return response

    def _count(self, result: str, events: int = 1) -> None:
        self._metrics.values[self._slots[result]] += events


def unpacked(headers: Mapping[bytes, bytes], packed: bytes) -> bytes | Response:
    """The body as it was before it was packed for the way; what is signed is that. Or why it cannot be had."""
    encoding = headers.get(b"content-encoding")
    if encoding is None or encoding.lower() != b"gzip":
        return packed
    unpacking = zlib.decompressobj(GZIP)
    try:
        body = unpacking.decompress(packed, BODY_BYTES + 1)
    except zlib.error:
        return NO_GZIP
    if len(body) > BODY_BYTES:
        return BODY_TOO_LARGE
    return body if unpacking.eof else NO_GZIP


class Challenge:
    """Answers a processor that asks an endpoint to prove that it knows the secret, before it sends anything.

    Args:
        prove: makes the proof from the query; None when it asks for none.
    """

    def __init__(self, prove: Callable[[str], bytes | None]) -> None:
        self._prove = prove

    def admit(self, request: Request) -> Response | None:
        """Anybody may ask."""
        del request
        return None

    def handle(self, request: Request, respond: Respond) -> None:
        """The proof in plain text, or what is wrong with the question."""
        proof = self._prove(request.query)
        respond(NO_CHALLENGE if proof is None else Response(200, proof, TEXT))


NO_CHALLENGE = problem(400, "invalid_challenge", "this is not the question the processor asks")
