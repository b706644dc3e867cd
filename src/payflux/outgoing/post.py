"""One POST to somebody else's server: no redirects, no proxies, a deadline, and a limit to what is read."""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

MOST_READ = 64 * 1024
NOT_PRINTED = {*range(0x20), 0x7F}


class NotSent(Exception):
    """There was no answer; the text says why. Whether the request arrived is unknown unless `refused` is set.

    Attributes:
        refused: nothing was sent, and the same again would fare no better: the address is not allowed.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: of HTTP.
        headers: by name in lower case.
        body: at most its first 64 KiB, unless more was asked for.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def taken(self) -> bool:
        """Whether it was a success."""
        return 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """Whether the same request may fare better later: the server is busy, limits us, or failed."""
        return self.status in {408, 425, 429} or self.status >= 500

    def told(self) -> str:
        """What it said, fit for one line of a log."""
        text = self.body[:200].decode(errors="replace").strip().translate(dict.fromkeys(NOT_PRINTED, " "))
        return f"HTTP {self.status}{': ' + text if text else ''}"


@dataclass(frozen=True)
class Place:
    """Where to send to.

    Attributes:
        url: `http` or `https`; user and password in it become basic authentication.
        private: addresses of private networks and of this machine are allowed.
        tls: whom it trusts, and what it shows; None: those whom the system trusts, and nothing.
    """

    url: str
    private: bool = True
    tls: ssl.SSLContext | None = None


def web_address(text: str) -> str:
    """Parse an address as it was configured.

    Args:
        text: the address.

    Raises:
        ValueError: it is none of HTTP; the text completes "expected …".
    """
    try:
        parts = urlsplit(text)
        known = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    except ValueError:
        known = False
    if not known or not text.isascii() or any(ord(character) <= 0x20 for character in text):
        raise ValueError("a URL such as https://host/path")
    return text


def post(place: Place, body: bytes, headers: Mapping[str, str], seconds: float = 10.0, most: int = MOST_READ) -> Answer:
    """Send once and wait for the answer; blocks.

    Args:
        place: where to.
        body: what.
        headers: beside `Host`, `Content-Length` and `Connection`.
        seconds: to connect, and again for each part of the exchange.
        most: bytes of the answer that are read.

    Raises:
        NotSent: there was no answer.
    """
    parts = urlsplit(place.url)
    try:
        address = _address(parts, private=place.private)
        connection = _connection(parts, address, seconds, place.tls)
    except OSError as error:
        raise NotSent(f"{parts.hostname}: {_reason(error)}") from None
    target = parts.path or "/"
    try:
        connection.request(
            "POST", f"{target}?{parts.query}" if parts.query else target, body, {**headers, "Connection": "close"}
        )
        answer = connection.getresponse()
        read = answer.read(most)
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, read)
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{parts.hostname}: {_reason(error)}") from None
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _address(parts: SplitResult, *, private: bool) -> str:
    """The address to connect to: looked up once, so that what was judged is what is used."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    allowed = found if private else [address for address in found if is_public(address)]
    if not allowed:
        raise NotSent(f"{host}: {found[0]} is not a public address, and only those are allowed", refused=True)
    return allowed[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public network, an IPv4 address within an IPv6 one included."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


class _Connected(http.client.HTTPConnection):
    """A connection to an address that was chosen already, under the name that was configured."""

    def __init__(self, host: str, port: int, make: Callable[[], socket.socket]) -> None:
        super().__init__(host, port)
        self._make = make

    def connect(self) -> None:
        """Called by the library when it has something to send."""
        self.sock = self._make()


def _connection(
    parts: SplitResult, address: str, seconds: float, tls: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)

    def make() -> socket.socket:
        plain = socket.create_connection((address, port), seconds)
        try:
            if not secure:
                return plain
            return (tls or ssl.create_default_context()).wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    connection = _Connected(host, port, make)
    connection.default_port = 443 if secure else 80  # what `Host` leaves away
    connection.connect()
    return connection


def hosts(urls: Iterable[str]) -> str:
    """The hosts of some addresses, as they may be shown: paths may hold secrets."""
    return ", ".join(urlsplit(url).netloc.rpartition("@")[2] for url in urls)
