"""Whether a load kept the contract: every answer the expected one, each accepted event once everywhere."""

from collections.abc import Iterator

import msgspec

from benchmarks.load.generator import Load, Shape, off_schedule

COUNTED = ("accepted", "duplicates", "rejected", "lost", "exported")


class Counted(msgspec.Struct):
    """What happened to the events of a load, by everybody who counts them.

    Attributes:
        accepted: by the node's metric, as the next four.
        numbered: by the number the last event got.
        added: entries the stream took.
        lines: what came out.
    """

    accepted: int
    duplicates: int
    rejected: int
    lost: int
    exported: int
    numbered: int
    added: int
    lines: int


def broken(seen: Load, counted: Counted, shape: Shape, answer_octets: tuple[int, int]) -> Iterator[str]:
    """What contradicts the contract, in words.

    Args:
        seen: by the load generator. Requests that were open at its end, and cut, may have been stored.
        counted: what the node and its surroundings say.
        shape: of the load.
        answer_octets: the least and greatest length of the answers that are expected.
    """
    cut = shape.connections * shape.depth
    if not seen.answers or seen.bad or seen.broken:
        yield f"{seen.answers:,} answers, {seen.bad:,} of them not as expected, {seen.broken:,} connections broken"
    yield from off_schedule(seen)
    least, most = answer_octets
    if seen.octets and not seen.answers * least <= seen.octets <= (seen.answers + cut) * most:
        yield f"{seen.answers:,} answers have {seen.octets:,} bytes, but each should have {least} to {most}"
    for name in ("rejected", "lost"):
        if found := getattr(counted, name):
            yield f"{found:,} events {name}"
    stored, answered = counted.accepted + counted.duplicates, seen.answers * shape.size
    if not answered <= stored <= answered + cut * shape.size:
        yield f"{stored:,} accepted or duplicates, but {answered:,} answered"
    yield from _share(counted, shape)
    for name in ("exported", "numbered", "added", "lines"):
        if (found := getattr(counted, name)) != counted.accepted:
            yield f"{counted.accepted:,} accepted, but {found:,} {WORDS[name]}"


WORDS = {"exported": "exported", "numbered": "numbered", "added": "in the stream", "lines": "lines written"}


def _share(counted: Counted, shape: Shape) -> Iterator[str]:
    """Whether as many were duplicates as were sent twice; of every second event half are, give or take what was cut."""
    stored = counted.accepted + counted.duplicates
    expected = stored * shape.duplicates / 100
    slack = shape.connections * shape.depth * shape.size if shape.duplicates == 50 else 0
    if abs(counted.duplicates - expected) > slack:
        yield f"{counted.duplicates:,} duplicates, {expected:,.0f} expected"
