"""What the search for card numbers costs at worst, and what it refuses that is no card.

Run with `.venv/bin/python -m benchmarks.card_numbers`; the figures stand in `docs/events.md`.
"""

import base64
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from payflux.client.card_numbers import contains_pan, is_harmless_hash
from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.example import EXAMPLE
from payflux.event.rules import REQUIRED, TEXT_LIMIT

SAMPLES = 20_000
REPEATS = 100
DECODINGS_OF_AN_EVENT = 6
"""A single event costs a node's ingest process 16 µs, `decode_event` alone 2.5 (docs/performance.md)."""

HOSTILE = {
    "digits and dashes": "4-",
    "digits, dashes, blanks": "4 - ",
    "digits in brackets": "(4)",
    "groups of two": "41-",
    "groups of four": "4111-",
    "groups as printed": "4111 1111-1111.1112 ",
    "groups of eleven": "41111111111-",
    "numbers of 12 digits": "411111111119 ",
    "numbers of 16 digits": "4111111111111112 ",
    "numbers in words": "Gg4111111111112",
    "fractions": "0.4111111111111112 ",
    "one long number": "4",
    "zeros": "0",
    "account numbers": "DE89 3704 0044 0532 0130 00 ",
    "UUIDs": "41111111-1111-1111-8111-111111111111 ",
    "track 1": "B4111111111111112^ ",
    "chip data": "5A084111111111111112 ",
    "escaped blanks": "4%20",
    "backslashes": "\\",
    "digits of other scripts": "\u0663",
    "circled digits": "\u2463",
    "digits and blanks nobody sees": "4\u200b",
    "marks": "\u0301",
    "letters of other scripts": "\u00e9 ",
    "ligatures": "\ufdfa",
}


def identifiers(rng: random.Random) -> dict[str, Callable[[], str]]:
    """What is no card number, by kind."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return {
        "hexadecimal, 64 characters": lambda: rng.randbytes(32).hex(),
        "base64, 44 characters": lambda: base64.b64encode(rng.randbytes(32)).decode(),
        "UUID": lambda: str(uuid.UUID(bytes=rng.randbytes(16), version=4)),
        "ULID": lambda: "01" + "".join(rng.choices(alphabet, k=24)),
        "time stamp": lambda: str(moment + timedelta(microseconds=rng.randrange(10**15))),
        "Unix time in ms": lambda: str(rng.randrange(1_500_000_000_000, 2_000_000_000_000)),
        "number with a fraction": lambda: repr(rng.uniform(0, 10 ** rng.randint(0, 12))),
        "decimal hash of 64 bits": lambda: str(rng.getrandbits(64)),
        "decimal reference of 16 digits": lambda: f"{rng.randrange(10**16):016d}",
    }


def refused(make: Callable[[], str], member: str, samples: int = SAMPLES) -> float:
    """The share of identifiers taken for card numbers in a member."""
    texts = (make() for _ in range(samples))
    return sum(not is_harmless_hash(member, text) and contains_pan(text) for text in texts) / samples


def seconds(body: bytes, repeats: int = REPEATS) -> float:
    """CPU of decoding one body, the least of some runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.thread_time()
        with suppress(InvalidEvent):
            decode_event(body)
        best = min(best, time.thread_time() - began)
    return best


def hostile(text: str) -> bytes:
    """An event all texts of which are one, as long as may be."""
    event = dict(EXAMPLE)
    for name, value in event.items():
        if isinstance(value, str) and name not in {*REQUIRED, "geo_bucket"}:
            event[name] = (text * TEXT_LIMIT)[:TEXT_LIMIT]
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def costs() -> Iterator[tuple[str, float]]:
    """CPU a byte of each kind of text, in that of a plain event from its read to its answer."""
    plain = json.dumps(EXAMPLE, separators=(",", ":")).encode()
    unit = DECODINGS_OF_AN_EVENT * seconds(plain, 5 * REPEATS) / len(plain)
    for kind, text in HOSTILE.items():
        body = hostile(text)
        yield kind, seconds(body) / len(body) / unit


def main() -> None:
    """Measure and show."""
    console = Console(width=100)
    shares = Table("no card", "refused in a `*_hash` member", "refused elsewhere")
    for kind, make in identifiers(random.Random(1)).items():
        shares.add_row(kind, *(f"{refused(make, member):.3%}" for member in ("merchant_id_hash", "channel")))
    console.print(shares)
    table = Table("text in every member", "CPU a byte, in a plain event's")
    for kind, cost in sorted(costs(), key=lambda pair: -pair[1]):
        table.add_row(kind, f"{cost:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
