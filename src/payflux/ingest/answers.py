"""What producers are answered: every HTTP status of an event is decided here."""

from collections.abc import Sequence
from math import ceil

from payflux.errors import FieldError, InvalidEvent, StreamUnavailable
from payflux.event.intake import BATCH_EVENTS
from payflux.http.limits import BODY_BYTES
from payflux.http.messages import Response, problem

ACCEPTED = Response(202, b'{"status":"accepted"}')
DUPLICATE = Response(202, b'{"status":"duplicate"}')
UNAUTHORIZED = problem(
    401, "unauthorized", "send a valid key as Authorization: Bearer KEY", headers=[(b"WWW-Authenticate", b"Bearer")]
)
BODY_TOO_LARGE = problem(413, "body_too_large", f"a body may have {BODY_BYTES} bytes at most")
BAD_ENCODING = problem(
    415, "unsupported_encoding", "send the body without Content-Encoding", headers=[(b"Accept-Encoding", b"identity")]
)
INVALID_BATCH = problem(
    400,
    "invalid_batch",
    "a batch is a JSON array of at least one event, in UTF-8; one event a line has Content-Type: application/x-ndjson",
)
BATCH_TOO_LARGE = problem(400, "batch_too_large", f"a batch may have {BATCH_EVENTS} events at most")


def bad_type(*allowed: bytes) -> Response:
    """The refusal of another Content-Type."""
    names = b" or ".join(allowed).decode()
    return problem(
        415, "unsupported_media_type", f"send Content-Type: {names}", headers=[(b"Accept", b", ".join(allowed))]
    )


def too_fast(seconds: float) -> Response:
    """The refusal of a key that is over its rate, with how long to wait."""
    wait = str(max(1, ceil(seconds))).encode()
    return problem(429, "rate_limited", "this key sends too fast", headers=[(b"Retry-After", wait)])


def unavailable(error: StreamUnavailable) -> Response:
    """What is answered when Redis did not confirm: whether the event is stored is unknown, sending it again is safe."""
    detail = "the buffer did not confirm; sending the same events again is safe"
    return problem(503, error.code, detail, headers=[(b"Retry-After", b"1")])


def invalid(error: InvalidEvent) -> Response:
    """The refusal of an event, naming every bad field."""
    return problem(400, error.code, str(error), errors=fields(error.errors))


def fields(errors: Sequence[FieldError]) -> list[dict[str, str]]:
    """Field errors as they stand in an answer."""
    return [{"field": error.field, "code": error.code, "message": error.message} for error in errors]
