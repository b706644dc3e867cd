"""The head of an HTTP/1.1 request: what llhttp has parsed becomes a `Request`, and what it lets through is refused.

llhttp (by httptools, in its strict default) refuses by itself: Content-Length with Transfer-Encoding, several or
malformed lengths, bare CR or LF, folded headers, control characters, malformed names, targets and chunks. It accepts
what is checked here: other transfer codings before `chunked`, Transfer-Encoding in HTTP/1.0, other HTTP versions,
missing, repeated and malformed Host, CONNECT, and lengths with any number of leading zeros.
"""

import re
from typing import Any, Final

from httptools import HttpRequestParser

from payflux.http.messages import Request

PLAIN: Final = 0
KEEP_ALIVE: Final = 1
CLOSE: Final = 2
"""What an answer says of the connection; HTTP/1.1 says nothing while it stays open."""

_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-fv:.]+\])(?::[0-9]*)?"
)  # RFC 3986 section 3.2.2, comma aside
_ABSOLUTE = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_LENGTH_DIGITS = 19  # of 2**64, beyond which llhttp refuses; a longer one is padded with zeros


class BadHead(Exception):
    """The head cannot be accepted."""


class HeadReader:
    """Reads the heads of one connection; remembers the last target and host, which seldom change.

    Attributes:
        persistence: of the head read last: PLAIN, KEEP_ALIVE (HTTP/1.0 that asked for it) or CLOSE.
        expects: whether its client waits for `100 Continue`.
        upgrades: whether it asks for another protocol, which stops the parser at its end.
        usual: whether nothing of all this, and no chunked body, sets it apart.
    """

    __slots__ = ("_host", "_path", "_query", "_url", "expects", "persistence", "upgrades", "usual")

    def __init__(self) -> None:
        self._url = b""
        self._path = self._query = ""
        self._host: bytes | None = b""
        self.persistence: int = PLAIN
        self.expects = False
        self.upgrades = False
        self.usual = False

    def read(
        self, parser: HttpRequestParser, url: bytes, headers: dict[bytes, bytes], connection: dict[str, Any]
    ) -> Request:
        """Build the request of which the parser has just completed the head.

        Args:
            parser: asked for method, version and persistence.
            url: the request target.
            headers: by lower-case name.
            connection: what the request gets as its `connection`.

        Returns:
            The request, without its body.

        Raises:
            BadHead: it has to be answered 400, and nothing after it can be trusted.
        """
        modern = True
        self.persistence = PLAIN
        if b"connection" in headers or not parser.should_keep_alive():
            modern = self._read_version(parser, headers)
        host = headers.get(b"host")
        if host != self._host:
            self._read_host(host, modern)
        if url != self._url:
            self._read_target(url)
        method = parser.get_method().decode()
        if method == "CONNECT":
            raise BadHead
        length = _length(headers, modern)
        self.expects = b"expect" in headers and modern and length != 0 and headers[b"expect"].lower() == b"100-continue"
        self.upgrades = b"upgrade" in headers and parser.should_upgrade()
        self.usual = not (self.persistence or self.expects or self.upgrades or length is None)
        return Request(method, self._path, self._query, headers, b"", length, connection)

    def _read_version(self, parser: HttpRequestParser, headers: dict[bytes, bytes]) -> bool:
        version = parser.get_http_version()
        options = headers.get(b"connection", b"").lower().replace(b" ", b"").replace(b"\t", b"").split(b",")
        keep = parser.should_keep_alive() and b"close" not in options  # RFC 9112 section 9.3: close comes first
        if version == "1.1":
            self.persistence = PLAIN if keep else CLOSE
            return True
        if version == "1.0":
            self.persistence = KEEP_ALIVE if keep else CLOSE
            return False
        raise BadHead

    def _read_host(self, host: bytes | None, modern: bool) -> None:  # noqa: FBT001 - one private caller
        if host is None:
            if modern:
                raise BadHead
            return
        if not _HOST.fullmatch(host):
            raise BadHead  # repeated ones were joined by a comma
        self._host = host

    def _read_target(self, url: bytes) -> None:
        origin = url
        if url[:1] != b"/" and url != b"*":
            absolute = _ABSOLUTE.match(url)
            if absolute is None:
                raise BadHead
            origin = url[absolute.end() :]
            if origin[:1] != b"/":
                origin = b"/" + origin
        path, _, query = origin.decode("latin-1").partition("?")
        self._url, self._path, self._query = url, path, query


def _length(headers: dict[bytes, bytes], modern: bool) -> int | None:  # noqa: FBT001 - one private caller
    announced = headers.get(b"content-length")
    if announced is not None:
        if len(announced) > _LENGTH_DIGITS + 1:
            raise BadHead
        return int(announced)
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        return 0
    if not modern or coding.lower() != b"chunked":
        raise BadHead
    return None


def replay(length: int | None) -> bytes:
    """A head that announces the same body and no upgrade, for a parser that has to read that body.

    Args:
        length: of the body in bytes, None for a chunked one.
    """
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing


def size(url: bytes, headers: dict[bytes, bytes]) -> int:
    """The size of a head in bytes, as far as what is left of it can tell."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers.items())
