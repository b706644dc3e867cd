"""Traffic as JSON lines: the same bytes for the same seed, wherever they are made."""

from hashlib import sha256
from io import BytesIO

import msgspec

from payflux.event.decode import decode_event
from payflux.load.corpus.population import PROCESSORS
from payflux.load.corpus.schedule import planned
from payflux.load.recording import CHUNK_BYTES, record, write_labels
from payflux.load.traffic import Traffic

MONDAY = 1_767_571_200.0
SOME = {name: PROCESSORS[name] for name in ("stripe", "p0_05", "p0_5", "p5", "p20")}


def recorded(seconds: float) -> bytes:
    out = BytesIO()
    traffic = Traffic(1, MONDAY, planned(["corpus"], 1, MONDAY, SOME, 0), SOME)
    count = record(traffic, None, MONDAY + seconds, out, lambda _: None)
    assert out.getvalue().count(b"\n") == count
    return out.getvalue()


def test_the_same_seed_gives_the_same_bytes_everywhere() -> None:
    """An hour of the corpus has the same fingerprint on every supported Python, and so have its labels."""
    truth = BytesIO()
    write_labels(planned(["corpus"], 1, MONDAY, SOME, 0), MONDAY, 86_400, truth)
    fingerprints = [sha256(data).hexdigest()[:16] for data in (recorded(3600), truth.getvalue())]
    assert fingerprints == ["8a38a795685ac91a", "305bfb5d9018e2f2"]


def test_lines_are_canonical_events() -> None:
    """A node stores each line as it is, without encoding it anew."""
    lines = recorded(300).splitlines()
    assert len(lines) > 1000
    assert all(decode_event(line).data == encoded(line) for line in lines)


def encoded(line: bytes) -> bytes:
    """The line, with the members of JSON in the order they have."""
    return msgspec.json.encode(msgspec.json.decode(line))


def test_it_tells_how_far_it_is() -> None:
    """Once a chunk, in the time of the traffic."""
    told: list[float] = []
    out = BytesIO()
    record(Traffic(1, MONDAY), 200, MONDAY + 60, out, told.append)
    assert len(told) == len(out.getvalue()) // CHUNK_BYTES > 2
    assert told == sorted(told)
    assert MONDAY < told[0] < told[-1] < MONDAY + 60
