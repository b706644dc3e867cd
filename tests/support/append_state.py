"""What the append script keeps in Redis, read and written by hand."""

from collections.abc import Sequence
from typing import Any

from payflux.event.decode import StoredEvent
from servers import Server
from stream_keys import STATE, STREAM


def stored(server: Server) -> list[dict[bytes, bytes]]:
    """What is in the stream: the fields of each entry."""
    found: Any = server.client.xrange(STREAM)
    return [fields for _, fields in found]


def entries(server: Server) -> list[tuple[bytes, int]]:
    """What is in the stream: data and number of each entry."""
    return [(fields[b"data"], int(fields[b"seq"])) for fields in stored(server)]


def numbers(server: Server) -> list[int]:
    """The numbers in the stream."""
    return [seq for _, seq in entries(server)]


def marks(server: Server, layer: str = "*") -> list[str]:
    """The keys that hold marks."""
    return [key.decode() for key in server.client.scan_iter(f"{{{STREAM}}}:marks:{layer}:*", count=10_000)]


def layers(server: Server) -> list[list[int]]:
    """The layers of the state: id, digits, opened, closed, count, next bucket to delete."""
    text: Any = server.client.hget(STATE, "layers") or b""
    return [[int(number) for number in layer.split(",")] for layer in text.decode().split(";") if layer]


def put_layers(server: Server, *to: Sequence[int]) -> None:
    """Write the layers of the state by hand."""
    server.client.hset(STATE, "layers", ";".join(",".join(map(str, layer)) for layer in to))


def age(server: Server, seconds: int) -> None:
    """Let time pass: set back every instant in the state."""
    put_layers(
        server,
        *(
            (layer, digits, opened - seconds, closed and closed - seconds, count, sweep)
            for layer, digits, opened, closed, count, sweep in layers(server)
        ),
    )


def nothing_half_done(server: Server, events: Sequence[StoredEvent], taken: int) -> None:
    """Exactly the first `taken` events are there, marked and numbered, and the state says so."""
    assert entries(server) == [(one.data, seq) for seq, one in enumerate(events[:taken], 1)]
    assert sum(server.client.scard(key) for key in marks(server) if server.client.type(key) == b"set") == taken
    assert int(server.client.hget(STATE, "seq") or 0) == taken
