"""Who is let in: key, size, content type and encoding of a request, judged by its head in this order."""

from collections.abc import Callable, Sequence

from payflux.http.limits import BODY_BYTES
from payflux.http.messages import BodyHandler, Request, Response
from payflux.ingest.answers import BAD_ENCODING, BODY_TOO_LARGE, UNAUTHORIZED, bad_type
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.telemetry.metrics import AUTH_DENIED, Metrics

JSON_TYPES = (b"application/json",)

Refuse = Callable[[str, Response], Response]
"""Counts a refusal by its reason, and returns it."""

_NOBODY: tuple[None, None] = (None, None)


class Admission:
    """The admission of one path; it knows what it let in by the head, which the server gives as one object when equal.

    Args:
        gatekeeper: knows the keys.
        metrics: where denied keys are counted.
        types: the content types allowed.
        refuse: told of each refusal.
        body_handler: makes what takes the bodies of further requests with an admitted head, by the number of its key;
            None: they are handled like the first.

    Attributes:
        bad_type: the refusal of another content type.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        types: Sequence[bytes],
        refuse: Refuse,
        body_handler: Callable[[int], BodyHandler] | None = None,
    ) -> None:
        self._gatekeeper, self._metrics, self._refuse = gatekeeper, metrics, refuse
        self._types = frozenset(types)
        self.bad_type = bad_type(*types)
        self._body_handler = body_handler

    def admit(self, request: Request) -> Response | None:
        """Judge a request by its head."""
        headers = request.headers
        if request.connection.get(self, _NOBODY)[0] is headers:
            return None  # the server gives equal heads as one object: this one was let in before
        authorization = headers.get(b"authorization")
        key = self._gatekeeper.identify(authorization, request.connection)
        if key is None:
            self._metrics.add(AUTH_DENIED, "missing" if authorization is None else "invalid")
            return self._refuse("unauthorized", UNAUTHORIZED)
        if request.content_length is not None and request.content_length > BODY_BYTES:
            return self._refuse("body_too_large", BODY_TOO_LARGE)
        content_type = headers.get(b"content-type", b"")
        if content_type not in self._types and content_type.partition(b";")[0].strip().lower() not in self._types:
            return self._refuse("unsupported_media_type", self.bad_type)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return self._refuse("unsupported_encoding", BAD_ENCODING)
        request.connection[self] = (headers, key)
        if self._body_handler is not None:
            request.body_handler = self._body_handler(key)
        return None

    def key(self, request: Request) -> int:
        """The number of an admitted request's key. It may have waited behind others, and the next may carry another."""
        headers, known = request.connection.get(self, _NOBODY)
        if headers is request.headers:
            return int(known)
        key = self._gatekeeper.identify(request.headers.get(b"authorization"), request.connection)
        assert key is not None
        return key
