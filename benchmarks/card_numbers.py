"""What the search for card numbers costs at worst, and what it refuses that is no card.

Run with `.venv/bin/python -m benchmarks.card_numbers`; the figures stand in `docs/events.md`.
"""

import base64
import json
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from payflux.client.card_numbers import contains_pan, is_harmless_hash
from payflux.errors import InvalidEvent
from payflux.event.decode import decode_event
from payflux.event.example import EXAMPLE
from payflux.event.rules import ADDITIVE_FIELDS, EVENT_FIELDS, REQUIRED, TEXT_LIMIT

SAMPLES = 20_000
REPEATS = 100
SEARCHES, SEARCH_SECONDS = 4, 15.0
DECODINGS_OF_AN_EVENT = 6
"""A single event costs a node's ingest process 16 µs, `decode_event` alone 2.5 (docs/performance.md)."""

PLAIN = json.dumps(EXAMPLE, separators=(",", ":")).encode()
FREE_TEXTS = [
    name
    for name in (*EVENT_FIELDS, *ADDITIVE_FIELDS)
    if name not in {*REQUIRED, "geo_bucket", "retry_count", "amount_minor", "latency_ms", "initiator"}
]

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
    "numbers with their length": "164111111111111112 ",
    "numbers with a wrong check": "cafe4111111111111111 ",
    "cards in account numbers": "XK05 4111 1111 1111 1111 ",
    "fractions and foreign blanks": "0.4111111111111112\u00a0",
    "rows in rows": "41-11111111112 ",
    "every separator": (
        "4111111111111-1 4111111111111.1.1:4111111111111/1_4111111111111_1,4111111111111,1,1+4111111111111+1|1"
    ),
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
        "article number (EAN-13)": lambda: article(rng.randrange(10**12)),
    }


def article(number: int) -> str:
    """Twelve digits and their check digit, which is not that of cards (GS1 General Specifications, 7.9.1)."""
    digits = f"{number:012d}"
    return digits + str(-sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(digits)) % 10)


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
        took = time.thread_time() - began
        best = min(best, took or best)  # a virtual machine's clock may stand still
    return best


def hostile(text: str) -> bytes:
    """An event all free texts of which are one, as long as may be."""
    event = EXAMPLE | dict.fromkeys(FREE_TEXTS, (text * TEXT_LIMIT)[:TEXT_LIMIT])
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def cost(text: str, repeats: int = REPEATS) -> float:
    """CPU a byte of an event full of a text, in that of a plain event from its read to its answer.

    Both are measured by turns, as a machine with other work to do is slower at times.
    """
    body, rounds = hostile(text), range(max(1, repeats // 20))
    plain = min(seconds(PLAIN, 100) for _ in rounds)
    found = min(seconds(body, 20) for _ in rounds)
    return found / len(body) / (DECODINGS_OF_AN_EVENT * plain / len(PLAIN))


def worst(rng: random.Random, seconds_left: float) -> tuple[str, float]:
    """Look for a text that costs more: change the worst one known, and keep what costs more."""
    pieces = [*HOSTILE.values(), *"0123456789 -./_,:+|=&()ABDX^%;", "0.", "16", "4111", "D2512", "5A08", "\u00a0"]
    text, most = max(((text, cost(text, 20)) for text in HOSTILE.values()), key=lambda pair: pair[1])
    end = time.monotonic() + seconds_left
    while time.monotonic() < end:
        at = rng.randrange(len(text) + 1)
        changed = (text[:at] + rng.choice(pieces) + text[at + rng.randrange(6) :])[:TEXT_LIMIT]
        if cost(changed, 20) > most and (found := cost(changed, 60)) > most:
            text, most = changed, found
    return text, cost(text)


def main() -> None:
    """Measure and show."""
    console = Console(width=100)
    shares = Table("no card", "refused in a `*_hash` member", "refused elsewhere")
    for kind, make in identifiers(random.Random(1)).items():
        shares.add_row(kind, *(f"{refused(make, member):.3%}" for member in ("merchant_id_hash", "channel")))
    console.print(shares)
    table = Table("text in every member", "CPU a byte, in a plain event's")
    for kind, found in sorted(((kind, cost(text)) for kind, text in HOSTILE.items()), key=lambda pair: -pair[1]):
        table.add_row(kind, f"{found:.1f}")
    console.print(table)
    for seed in range(SEARCHES):
        text, found = worst(random.Random(seed), SEARCH_SECONDS)
        console.print(
            f"found by a search of {SEARCH_SECONDS:.0f} s: {found:.1f}", repr(text), markup=False, soft_wrap=True
        )


if __name__ == "__main__":
    main()
