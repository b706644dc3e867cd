"""The sockets a node listens on: one for each worker where the kernel spreads connections, else one for all."""

import socket
import sys

from payflux.settings import Setting

BACKLOG = 1024


def parse_listen(text: str) -> tuple[str, int]:
    """Read `:port`, `host:port` or `[address]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(":port or host:port")
    return host.strip("[]"), int(port)


HTTP_ADDR = Setting("HTTP_ADDR", parse_listen, ":8080", "Listen address; port 0 takes a free one.")


def listen(address: tuple[str, int], count: int) -> list[socket.socket]:
    """Open listening sockets, to be kept open until the node ends.

    A plain bind comes first, so that a second node on the port is refused rather than given a share of it.

    Args:
        address: host (empty for all of them) and port.
        count: how many workers there are.

    Returns:
        As many listening sockets, or one where `SO_REUSEPORT` does not spread connections (macOS).

    Raises:
        OSError: the address cannot be used.
    """
    first = _bound(address, reuse_port=False)
    spread = sys.platform == "linux" and count > 1
    if not spread:
        first.listen(BACKLOG)
        return [first]
    port = first.getsockname()[1]
    first.close()
    sockets = [_bound((address[0], port), reuse_port=True) for _ in range(count)]
    for sock in sockets:
        sock.listen(BACKLOG)
    return sockets


def _bound(address: tuple[str, int], *, reuse_port: bool) -> socket.socket:
    host, port = address
    if not host and socket.has_dualstack_ipv6():
        family, target = socket.AF_INET6, "::"
    elif not host:
        family, target = socket.AF_INET, "0.0.0.0"
    else:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, target = found[0][0], str(found[0][4][0])
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(host)))
        sock.bind((target, port))
    except OSError:
        sock.close()
        raise
    return sock
