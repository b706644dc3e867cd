"""The sockets a node listens on: which addresses they take, and that a second node gets none of them."""

import socket
import sys

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
    sockets = listen(("127.0.0.1", 0), count)
    try:
        assert len(sockets) == (count if sys.platform == "linux" else 1)
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        with pytest.raises(OSError, match="in use"):
            listen(("127.0.0.1", ports.pop()), count)
        with socket.create_connection(sockets[0].getsockname()):
            pass
    finally:
        for sock in sockets:
            sock.close()
