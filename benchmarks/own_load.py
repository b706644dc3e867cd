"""The load generator for machines without wrk: one process, keep-alive connections, one request at a time on each.

`own_load.py URL CONNECTIONS SECONDS HEAD EVENT PREFIX SIZE` means what `wrk_load.lua` says, and prints the same line.
"""

import selectors
import socket
import sys
import time
from collections import Counter
from itertools import count
from urllib.parse import urlsplit

import msgspec

ANSWER_SECONDS = 10.0


class Requests:
    """Makes distinct requests."""

    def __init__(self, head: str, event: str, prefix: str, size: int) -> None:
        before, after = event.split("@")
        self._before, self._after = (before + prefix + "0000").encode(), after.encode() + b"\n" * (size > 1)
        length = size * (len(self._before) + 8 + len(self._after))
        self._head = f"{head}Content-Length: {length}\r\n\r\n".encode()
        self._size = size
        self._numbers = count(1)

    def next(self) -> bytes:
        """The next one."""
        events = (b"%b%08x%b" % (self._before, next(self._numbers), self._after) for _ in range(self._size))
        return self._head + b"".join(events)


class Client:
    """One connection."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._sent = 0.0

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, float] | None:
        """Status and seconds of an answer that is complete now.

        Raises:
            ConnectionError: it ended without one.
        """
        piece = self.socket.recv(262_144)
        if not piece:
            raise ConnectionError
        self._answer += piece
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return None
        self._answer = b""
        return int(head[9:12]), time.perf_counter() - self._sent


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r")[0] or 0)


def run(clients: list[Client], requests: Requests, seconds: float) -> tuple[Counter[int], list[float], int]:
    """Keep every connection busy for so long; statuses, latencies in seconds, broken connections."""
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    broken = 0
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(requests.next())
        ends = time.perf_counter() + seconds
        while (now := time.perf_counter()) < ends and selector.get_map():
            for key, _ in selector.select(ends - now):
                client = key.data
                try:
                    if (answer := client.receive()) is None:
                        continue
                    client.send(requests.next())
                except OSError:
                    broken += 1
                    selector.unregister(client.socket)
                    continue
                statuses[answer[0]] += 1
                latencies.append(answer[1])
    return statuses, latencies, broken


def main() -> None:
    """Run it and print the figures."""
    url, connections, seconds, head, event, prefix, size = sys.argv[1:]
    target = urlsplit(url)
    clients = [Client(target.hostname or "", target.port or 80) for _ in range(int(connections))]
    started = time.perf_counter()
    statuses, latencies, broken = run(clients, Requests(head, event, prefix, int(size)), float(seconds))
    took = time.perf_counter() - started
    latencies.sort()
    figures = {
        "answers": len(latencies),
        "bad": sum(n for status, n in statuses.items() if not 200 <= status < 300),
        "broken": broken,
        "seconds": took,
        "p50_ms": latencies[len(latencies) // 2] * 1e3 if latencies else 0.0,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3 if latencies else 0.0,
    }
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
