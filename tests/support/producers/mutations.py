"""Damage to bytes, as a network, a proxy or somebody who means it does it."""

import random
from collections.abc import Callable, Iterator, Sequence

WORDS = (
    *(
        b"\x00",
        b"\xff",
        b"\r\n",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b'"',
        b"''",
        b"\xef\xbb\xbf",
    ),
    *(b"{", b"}", b"[", b"]", b",", b":", b"-", b"1e999", b"NaN", b"null", b"4111111111111111", b"\xed\xa0\x80"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"\r\n\r\n", b"GET /x HTTP/1.1\r\n"),
)
"""What is put in: characters that end something, and words that mean something elsewhere."""


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 4) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(WORDS) + data[at:]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randint(1, 40))
    return data[:end] + data[start:end] + data[end:]


def _swap(data: bytes, rng: random.Random) -> bytes:
    one, other = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:one] + data[other : other + 1] + data[one + 1 : other] + data[one : one + 1] + data[other + 1 :]


KINDS: Sequence[Callable[[bytes, random.Random], bytes]] = (_flip, _drop, _insert, _cut, _repeat, _swap)


def damaged(seeds: Sequence[bytes], rng: random.Random, count: int) -> Iterator[bytes]:
    """So many damaged texts, each one of the seeds changed in one place to four."""
    for _ in range(count):
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = rng.choice(KINDS)(data, rng) or b"x"
        yield data
