"""The head a connection sent last, and the next one where only values differ. Who signs sends no head twice.

What llhttp accepted, it accepts again with other plain text for values that say nothing of where the message ends or
what becomes of the connection; so such a head needs no parser. A header may differ here when it comes once, and is none
by which a head is judged.
"""

import re

from payflux.http.limits import Limits
from payflux.http.messages import Request, SignedHandler

MOST_BYTES, MOST_LINES = 2048, 32
"""A head of more is not kept: every connection may have one."""
FUTILE_HEADS = 64
"""A connection of which so many heads on end differed in more than values: it is asked no more."""

_FIXED = {
    *(b"host", b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade"),
    *(b"expect", b"content-type", b"content-encoding"),
}
_is_plain = re.compile(rb"[!-~](?:[ -~]*[!-~])?").fullmatch


class LastHead:
    """Of one connection.

    Args:
        limits: what a request may take.

    Attributes:
        handler: takes what follows; None while nothing is kept.
    """

    __slots__ = ("_headers", "_lines", "_misses", "_most", "_most_body", "handler")

    def __init__(self, limits: Limits) -> None:
        self._most, self._most_body = min(MOST_BYTES, limits.head_bytes), limits.body_bytes
        self._headers: dict[bytes, bytes] = {}
        self._lines: list[tuple[bytes, bytes, bytes]] = []  # each, how it begins before its value, the header that may
        self._misses = 0
        self.handler: SignedHandler | None = None

    def learn(self, data: bytes, request: Request) -> None:
        """Keep the head of an accepted request of the usual kind, if data are exactly this request."""
        end = data.find(b"\r\n\r\n") + 4
        announced = b"content-length" in request.headers and request.content_length == len(data) - end
        if not announced or end > self._most or self._misses > FUTILE_HEADS:
            return
        lines = data[: end - 4].split(b"\r\n", MOST_LINES)
        if len(lines) > MOST_LINES:
            return
        names = [line.partition(b":")[0].lower() for line in lines]
        self._lines = [
            (line, _begin(line), b"" if at == 0 or name in _FIXED or names.count(name) > 1 else name)
            for at, (line, name) in enumerate(zip(lines, names, strict=True))
        ]
        self._headers, self.handler = request.headers, request.signed_handler

    def alike(self, data: bytes, end: int) -> dict[bytes, bytes] | None:
        """The headers of a request whose head is alike.

        Args:
            data: that begin with the head.
            end: where it ends in them.

        Returns:
            By lower-case name; None when more than values differs, or data hold anything but this request.
        """
        headers = self._differing(data[: end - 4].split(b"\r\n")) if 4 < end <= self._most else None
        length = len(data) - end
        if headers is not None and headers[b"content-length"] == b"%d" % length and length <= self._most_body:
            self._misses = 0
            return headers
        self._misses += 1
        if self._misses > FUTILE_HEADS:
            self.handler = None
        return None

    def _differing(self, lines: list[bytes]) -> dict[bytes, bytes] | None:
        if len(lines) != len(self._lines):
            return None
        headers = self._headers.copy()
        for line, (last, begin, name) in zip(lines, self._lines, strict=True):
            if line != last:
                value = line[len(begin) :]
                if not (name and line.startswith(begin) and _is_plain(value)):
                    return None
                headers[name] = value
        return headers


def _begin(line: bytes) -> bytes:
    """A line of a head as far as its value."""
    name, colon, value = line.partition(b":")
    return name + colon + value[: len(value) - len(value.lstrip(b" \t"))]
