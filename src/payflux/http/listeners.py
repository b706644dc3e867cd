"""The sockets a node listens on: one for each worker where the kernel spreads connections, else one for all."""

import errno
import socket
import sys
from collections.abc import Sequence

from payflux.settings import Setting, optional

BACKLOG = 1024
FREE_PORT_TRIES = 8
"""A port that is free at one address may be taken at another."""
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""How a machine says that it has no such address: a name may have more addresses than the machine."""

Target = tuple[int, str]


def parse_listen(text: str) -> tuple[str, int]:
    """Read `:port`, `host:port` or `[address]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(":port or host:port")
    return host.strip("[]"), int(port)


HTTP_ADDR = Setting("HTTP_ADDR", parse_listen, ":8080", "Listen address; port 0 takes a free one.")
ADMIN_ADDR = optional(
    "PAYFLUX_ADMIN_ADDR", parse_listen, "Address for everything but events in and probes, which stay on HTTP_ADDR too."
)


def listen(address: tuple[str, int], count: int) -> list[list[socket.socket]]:
    """Open listening sockets, to be kept open until the node ends.

    A plain bind comes first, so that a second node on the port is refused rather than given a share of it.

    Args:
        address: host (empty for all of them) and port. A name such as `localhost` may have several addresses: every one
            that this machine has is taken, on one port.
        count: how many workers there are.

    Returns:
        For each worker a socket of each address; or for one worker, where `SO_REUSEPORT` does not spread connections
        (macOS).

    Raises:
        OSError: the address cannot be used.
    """
    targets = _targets(*address)
    first = _all_bound(targets, address[1], reuse_port=False)
    spread = sys.platform == "linux" and count > 1
    sets = [first]
    if spread:
        bound = [(sock.family, sock.getsockname()[0]) for sock in first]
        port = first[0].getsockname()[1]
        _close(first)
        sets = [_all_bound(bound, port, reuse_port=True) for _ in range(count)]
    for sock in (sock for sockets in sets for sock in sockets):
        sock.listen(BACKLOG)
    return sets


def _targets(host: str, port: int) -> list[Target]:
    """Family and address of each socket; the IPv6 one of all addresses takes IPv4 too, where the system can."""
    if not host and not socket.has_dualstack_ipv6():
        return [(socket.AF_INET, "0.0.0.0")]
    if host in ("", "::"):
        return [(socket.AF_INET6, "::")]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((entry[0], str(entry[4][0])) for entry in found))


def _all_bound(targets: Sequence[Target], port: int, *, reuse_port: bool) -> list[socket.socket]:
    """A socket of each address this machine has, all on one port."""
    for _ in range(FREE_PORT_TRIES if not port else 1):
        sockets: list[socket.socket] = []
        error = OSError(errno.EADDRNOTAVAIL, "no such address")
        for family, host in targets:
            try:
                sockets.append(_bound(family, host, sockets[0].getsockname()[1] if sockets else port, reuse_port))
            except OSError as problem:
                error = problem
                if problem.errno not in ABSENT:
                    _close(sockets)
                    sockets = []
                    break
        if sockets:
            return sockets
        if error.errno != errno.EADDRINUSE:
            break
    raise error


def _bound(family: int, host: str, port: int, reuse_port: bool) -> socket.socket:  # noqa: FBT001 - one private caller
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
