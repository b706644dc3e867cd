"""The sockets a node listens on: which addresses they take, and that a second node gets none of them."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from payflux.http.listeners import listen, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", ("", 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    """The host may be left away, an IPv6 address stands in brackets."""
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["", "8080", "localhost", ":65536", ":-1", ":٣", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With what was expected as the reason."""
    with pytest.raises(ValueError, match="host:port"):
        parse_listen(text)


@pytest.mark.parametrize("count", [1, 3])
def test_a_second_node_is_refused_the_port(count: int) -> None:
    """Although the workers of one node share it; each of their sockets takes connections."""
    sets = listen(("127.0.0.1", 0), count)
    sockets = [sock for sockets in sets for sock in sockets]
    try:
        assert len(sets) == len(sockets) == (count if sys.platform == "linux" else 1)
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        with pytest.raises(OSError, match="in use"):
            listen(("127.0.0.1", ports.pop()), count)
        with socket.create_connection(sockets[0].getsockname()):
            pass
    finally:
        for sock in sockets:
            sock.close()


def has_ipv6() -> bool:
    """Whether this machine has the IPv6 address of itself."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def listening(address: tuple[str, int], count: int) -> Iterator[list[list[socket.socket]]]:
    """Sockets that are closed at the end."""
    with ExitStack() as stack:
        yield [[stack.enter_context(sock) for sock in sockets] for sockets in listen(address, count)]


def takes(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


@ipv6
@pytest.mark.parametrize("host", ["localhost", "::", ""])
@pytest.mark.parametrize("count", [1, 2])
def test_both_families_are_taken(host: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name has every address it stands for, on one port and in every worker; all addresses are those of both."""
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    if host == "localhost":  # whatever this machine's own table says
        monkeypatch.setattr("payflux.http.listeners.socket.getaddrinfo", lambda *_, **__: both)
    with listening((host, 0), count) as sets:
        monkeypatch.undo()
        assert {len(sockets) for sockets in sets} == {2 if host == "localhost" else 1}
        [port] = {sock.getsockname()[1] for sockets in sets for sock in sockets}
        assert takes("127.0.0.1", port)
        assert takes("::1", port)


@ipv6
def test_one_address_is_one_address() -> None:
    """Who asks for IPv6 of this machine alone gets no IPv4."""
    with listening(("::1", 0), 1) as [[sock]]:
        port = sock.getsockname()[1]
        assert takes("::1", port)
        assert not takes("127.0.0.1", port)


def test_an_address_of_another_machine_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may stand for more addresses than this machine has; it is refused when it has none of them."""
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1", "127.0.0.1")
    ]
    monkeypatch.setattr("payflux.http.listeners.socket.getaddrinfo", lambda *_, **__: entries)
    with listening(("node.example", 0), 1) as [[sock]]:
        assert sock.getsockname()[0] == "127.0.0.1"
    del entries[1:]
    with pytest.raises(OSError, match="assign requested address"):
        listen(("node.example", 0), 1)


@ipv6
def test_a_port_taken_at_one_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a name is not enough: what is in the way is named, and nothing stays bound."""
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    ]
    monkeypatch.setattr("payflux.http.listeners.socket.getaddrinfo", lambda *_, **__: entries)
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listen(("localhost", port), 1)
        monkeypatch.undo()
        with listening(("127.0.0.1", port), 1):
            pass
