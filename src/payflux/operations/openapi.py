"""`/openapi.json`: OpenAPI 3.1 of the paths this process serves, built from the declarations and answers in use.

Errors are documented by the very answers that are sent: a path's statuses, codes, headers and examples are read from
them. The document is built once, when the process starts.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from payflux import __version__
from payflux.errors import REMEDIES, InvalidEvent, StreamUnavailable
from payflux.event.decode import decode_event
from payflux.event.example import EXAMPLE
from payflux.event.intake import BATCH_EVENTS, BATCH_PATH, EVENT_PATH
from payflux.http.limits import (
    BAD_REQUEST,
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    INTERNAL_ERROR,
    TIMED_OUT,
    TOO_MANY_CONNECTIONS,
)
from payflux.http.messages import TEXT, Handler, Response
from payflux.ingest.admission import JSON_TYPES
from payflux.ingest.answers import (
    BAD_ENCODING,
    BATCH_TOO_LARGE,
    INVALID_BATCH,
    UNAUTHORIZED,
    bad_type,
    invalid,
    too_fast,
    unavailable,
)
from payflux.ingest.batch import NDJSON_TYPES
from payflux.operations.checkout import STRIPE_ERROR, STRIPE_UNREACHABLE, email_of
from payflux.operations.describing import contents as _contents
from payflux.operations.describing import ok as _ok
from payflux.operations.describing import operation as _operation
from payflux.operations.describing import problems as _problems
from payflux.operations.health import UNREADY, Refusal
from payflux.operations.pages import PROMETHEUS
from payflux.operations.read_paths import read_paths
from payflux.operations.read_paths import schemas as read_schemas
from payflux.operations.relay import UNANSWERED
from payflux.operations.routes import NO_TOKEN, Answer
from payflux.operations.schemas import record, ref, schemas
from payflux.webhooks.endpoint import BAD_ENCODING as BAD_WEBHOOK_ENCODING
from payflux.webhooks.endpoint import NO_CHALLENGE, NO_GZIP, NOT_YET, UNVERIFIED, accepted_of
from payflux.webhooks.registry import ADAPTERS, PREFIX, described, path_of

Json = dict[str, Any]
PATH = "/openapi.json"
SHORTEST = {
    "event_type": "payment_succeeded",
    "event_timestamp": "2026-01-09T13:00:01.5+01:00",
    "event_id": "6fa459ea-ee8a-4ca4-894e-db77e160355e",
    "processor": "adyen",
}
LONGEST = EXAMPLE | {
    "event_id": "16fd2706-8baf-433b-82eb-8c7fada847da",
    "payment_method_fingerprint_hash": "fp789",
    "card_network": "visa",
    "network_response_code": "51",
    "network_advice_code": "02",
    "currency": "USD",
    "amount_minor": 12900,
    "initiator": "mit",
    "latency_ms": 840,
    "issuer_country": "US",
    "processor_event_id": "evt_1",
}
UNCONFIRMED = (*REMEDIES, "redis_error", "overloaded")
"""Every code of an answer that says that Redis did not confirm."""
REPORT = {
    "accepted": 1,
    "duplicates": 0,
    "rejected": 1,
    "results": [
        {"index": 0, "event_id": EXAMPLE["event_id"], "status": "accepted"},
        {
            "index": 1,
            "event_id": None,
            "status": "rejected",
            "code": "invalid_event",
            "errors": [{"field": "event_id", "code": "required", "message": "event_id is required"}],
        },
    ],
}
EXPORT = {
    "enabled": True,
    "export_mode": "stdout",
    "destinations": {
        "stdout": {
            "enabled": True,
            "last_success_ts": 1767960000,
            "last_success_rfc3339": "2026-01-09T12:00:00Z",
            "last_error_ts": None,
            "last_error_rfc3339": None,
            "last_error_reason": None,
        }
    },
}
DESCRIPTION = (
    "A payment-traffic observability buffer: events in over HTTP, ordered and de-duplicated in a Redis Stream, scored, "
    "one JSON line out. Checked in this order: path and method (404, 405 with `Allow`), key, size, content type and "
    "encoding, rate, JSON, event. Every error is `application/problem+json` with a stable `code`. HEAD works where GET "
    "does."
)


def _refusal(judge: Callable[[bytes], object], body: bytes) -> Response:
    """What is answered to a body that is refused."""
    try:
        judge(body)
    except InvalidEvent as error:
        return invalid(error)
    raise ValueError(body)


def _event(**members: object) -> bytes:
    return msgspec.json.encode(EXAMPLE | members)


_EVERYWHERE = (BAD_REQUEST, TIMED_OUT, BODY_TOO_LARGE, HEAD_TOO_LARGE, INTERNAL_ERROR, TOO_MANY_CONNECTIONS)
_WITH_KEY = (*_EVERYWHERE, UNAUTHORIZED, BAD_ENCODING, too_fast(1.0))
WEBHOOK_REFUSALS = (*UNVERIFIED.values(), BAD_WEBHOOK_ENCODING, NO_GZIP, NOT_YET, too_fast(1.0))
_NO_EVENTS = (
    b"{",
    b'{"channel":"web","channel":"app"}',
    _event(event_id="not-a-uuid"),
    _event(channel="4111 1111 1111 1111"),
)
_NO_CHECKOUTS = (b"{", b'{"email":"a@example.com","email":"b@example.com"}', b'{"email":"nobody"}')


def _event_path() -> Json:
    return {
        "post": _operation(
            "storeEvent",
            "Store one event",
            "202 means: one atomic step in Redis appended the event together with its de-duplication mark, or found an "
            "earlier append of the same `event_id`. A 4xx stored nothing. After a 5xx, a time-out or a cut connection "
            "send the same event again; that is always safe.",
            _problems(
                *_WITH_KEY,
                bad_type(*JSON_TYPES),
                *(_refusal(decode_event, body) for body in _NO_EVENTS),
                *(unavailable(StreamUnavailable(code, "")) for code in UNCONFIRMED),
            )
            | _ok("Stored, or stored before.", ref("Stored"), {"status": "accepted"}, status=202),
            body=_contents(JSON_TYPES, ref("PaymentEvent"), ordinary=EXAMPLE, shortest=SHORTEST, longest=LONGEST),
        )
    }


def _batch_path() -> Json:
    lines = "\n".join(msgspec.json.encode(event).decode() for event in (EXAMPLE, SHORTEST, LONGEST))
    items = {
        "anyOf": [ref("PaymentEvent"), {"description": "Anything else is answered as `rejected`, and only it."}],
    }
    array = {"type": "array", "items": items, "minItems": 1, "maxItems": BATCH_EVENTS}
    text = {
        "type": "string",
        "pattern": "[^\\u0009-\\u000d ]",
        "description": f"1 to {BATCH_EVENTS} events, one a line.",
    }
    results = {
        "name": "results",
        "in": "query",
        "description": "`errors`: only the rejected items are in `results`; anything else: all are.",
        "schema": {"type": "string"},
    }
    return {
        "post": _operation(
            "storeEvents",
            f"Store up to {BATCH_EVENTS} events",
            "Each event is stored or refused on its own. The answer is 503 only when nothing was stored; an item that "
            "may not be stored for want of Redis has the status `rejected` and a code a 503 has.",
            _problems(
                *_WITH_KEY,
                bad_type(*JSON_TYPES, *NDJSON_TYPES),
                INVALID_BATCH,
                BATCH_TOO_LARGE,
                *(unavailable(StreamUnavailable(code, "")) for code in UNCONFIRMED),
            )
            | _ok("What became of each item.", ref("BatchReport"), REPORT),
            body=_contents(JSON_TYPES, array, several=[EXAMPLE, SHORTEST], one=[LONGEST])
            | _contents(NDJSON_TYPES, text, several=lines),
            parameters=[results],
        )
    }


def _webhook_path(processor: str) -> Json:
    """The path of a processor's webhooks, which are as that processor describes them."""
    source = described(processor)
    accepted = accepted_of(source) if source is not None else Response(200)
    kind = accepted.head.partition(b"Content-Type: ")[2].partition(b"\r\n")[0]
    told = {"description": "All of it is in the stream.", "content": {kind.decode(): {"schema": {}}}}
    name = processor.replace("-", "_")
    found = {
        "post": _operation(
            f"receive_{name}",
            f"Take a webhook of {processor}",
            "Signed by the processor. A success means that every event in it is in the stream, or was there already, "
            "or that it says nothing of payments. Anything else makes the processor send it again.",
            _problems(*_EVERYWHERE, *WEBHOOK_REFUSALS, *(unavailable(StreamUnavailable(c, "")) for c in UNCONFIRMED))
            | {str(accepted.status): told},
        )
        | {"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}
    }
    if source is not None and source.challenge is not None:
        proof = _ok("The proof.", {"type": "string"}, kind=TEXT)
        found["get"] = _operation(
            f"prove_{name}",
            f"Prove to {processor} that the node knows the secret",
            "",
            _problems(*_EVERYWHERE, NO_CHALLENGE) | proof,
        )
    return found


def _checkout_path() -> Json:
    address = record("Where the buyer pays.", url={"type": "string", "format": "uri"})
    return {
        "post": _operation(
            "openCheckout",
            "Open a Stripe Checkout session",
            "For one piece of the configured product. Without a body no `Content-Type` is needed.",
            _problems(
                *_WITH_KEY,
                bad_type(*JSON_TYPES),
                *(_refusal(email_of, body) for body in _NO_CHECKOUTS),
                STRIPE_ERROR,
                STRIPE_UNREACHABLE,
            )
            | _ok("A session was opened.", address, {"url": "https://checkout.stripe.com/c/pay/cs_test_1"}),
            body=_contents(JSON_TYPES, ref("CheckoutRequest"), known={"email": "buyer@example.com"}, unknown={}),
            body_required=False,
        )
    }


def _question(name: str, summary: str, ok: Json, *codes: str) -> Json:
    """A path that operators ask with GET; `codes` are those of its 503."""
    return {
        "get": _operation(name, summary, "", _problems(*_EVERYWHERE, *(Refusal(code).response for code in codes)) | ok)
    }


def _metrics_path() -> Json:
    scraped = _ok("Prometheus text.", {"type": "string"}, "payflux_redis_up 1.0\n", kind=PROMETHEUS)
    about = "Where `PAYFLUX_METRICS_TOKEN` is set, it has to be sent as bearer token; a key is not asked for."
    about += (
        " At most one is made a second, after five at once: who asks sooner waits. With gzip where that is accepted."
    )
    answers = _problems(*_EVERYWHERE, NO_TOKEN, UNANSWERED) | scraped
    return {"get": _operation("metrics", "Metrics of all processes of the node", about, answers)}


def _front_page() -> Json:
    """It is HTML for whoever asks for that."""
    page = _ok("What this is, and its paths.", {"type": "object"})
    page["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    return page


def _paths(processors: Iterable[str] = tuple(ADAPTERS)) -> dict[str, Json]:
    ready = ("part_failing", *UNCONFIRMED)
    fine = _ok("ok", {"type": "string"}, "ok\n", kind=TEXT)
    export = _ok("Each destination.", ref("ExportHealth"), EXPORT)
    return {
        EVENT_PATH: _event_path(),
        BATCH_PATH: _batch_path(),
        **{path_of(name): _webhook_path(name) for name in processors},
        "/checkout": _checkout_path(),
        "/health": _question("health", "Whether the node can do its work", fine, *UNREADY, *UNCONFIRMED),
        "/livez": _question("live", "Whether the process is alive", fine),
        "/readyz": _question("ready", "Whether the write path to Redis works", fine, *ready),
        **read_paths(_EVERYWHERE),
        "/metrics": _metrics_path(),
        "/export/health": {
            "get": _operation("exportHealth", "How the export does", "", _problems(*_EVERYWHERE, UNANSWERED) | export)
        },
        "/": {"get": _operation("front", "What answers here", "", _problems(*_EVERYWHERE) | _front_page())},
        PATH: _question("openapi", "This document", _ok("OpenAPI 3.1.", {"type": "object"})),
    }


def document(paths: Collection[str]) -> Json:
    """The OpenAPI document of a process.

    Args:
        paths: those it serves; one that is not described here is left out.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "PayFlux", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": {path: item for path, item in _paths(_processors(paths)).items() if path in paths},
        "components": {
            "schemas": schemas() | read_schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A configured key."}},
        },
    }


def _processors(paths: Iterable[str]) -> list[str]:
    """Those whose webhooks are taken at one of these paths."""
    return [path.removeprefix(PREFIX) for path in paths if path.startswith(PREFIX)]


def route(routes: Collection[str]) -> dict[str, dict[str, Handler]]:
    """The path of the document, beside the `routes` it describes."""
    response = Response(200, msgspec.json.encode(document([*routes, PATH])))

    async def answer() -> Response:
        return response

    return {PATH: {"GET": Answer(answer)}}
