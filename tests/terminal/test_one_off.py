"""An exporter used once by a command: in batches, with patience that ends."""

from collections.abc import Iterator

import pytest

from payflux.errors import ExportFailed
from payflux.event.outcome import OUTCOMES
from payflux.log import log
from payflux.settings import Values, load
from payflux.terminal import one_off
from payflux.terminal.one_off import OneOff, declared, is_exporter
from their_server import Receiving, receiving

LINES = [
    b'{"event_type":"t","processor":"p","failure_category":"","retry_result":"","stream_message_id":"17-%d"}\n' % n
    for n in range(5)
]


@pytest.fixture
def theirs() -> Iterator[Receiving]:
    """A server that takes batches."""
    with receiving() as server:
        yield server


def given(theirs: Receiving, **environ: str) -> Values:
    """The settings of an exporter to it."""
    own = {"URL": theirs.url, "PRIVATE": "true", "GZIP": "false", "BATCH_EVENTS": "2", **environ}
    named = {f"PAYFLUX_EXPORT_WEBHOOK_{name}": text for name, text in own.items()}
    return load((OUTCOMES, *declared("webhook", named)), named)


async def test_batches_are_those_of_the_settings(theirs: Receiving) -> None:
    """What is no batch yet waits, and its first entry is known, until it is flushed."""
    once = OneOff("webhook", given(theirs), log)
    await once.put(LINES)
    assert [one.body.count(b"\n") for one in theirs.got] == [2, 2]
    assert (once.confirmed, once.next_entry) == (4, b"17-4")
    await once.flush()
    assert (once.confirmed, once.next_entry) == (5, b"")
    once.close()


async def test_batches_end_by_their_bytes_too(theirs: Receiving) -> None:
    """As a node's do."""
    once = OneOff("webhook", given(theirs, BATCH_EVENTS="100", BATCH_BYTES="1024"), log)
    await once.put(LINES * 3)
    assert (len(theirs.got), once.confirmed) == (1, 15)


async def test_patience_ends(theirs: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is confirmed for long, and at once where somebody has to look at it first; the lines still wait."""
    told: list[str] = []
    once = OneOff("webhook", given(theirs), lambda _, msg, **__: told.append(msg))
    theirs.answers.append((503, {}, b""))
    await once.put(LINES[:2])
    assert (told, once.confirmed) == (["export_failed"], 2)
    theirs.answers.append((403, {}, b""))
    with pytest.raises(ExportFailed, match="HTTP 403"):
        await once.put(LINES[2:4])
    assert once.next_entry == b"17-2"
    monkeypatch.setattr(one_off, "PATIENCE_SECONDS", 0.0)
    theirs.answers.append((503, {}, b""))
    with pytest.raises(ExportFailed, match="HTTP 503"):
        await once.flush()
    assert len(theirs.got) == 4


@pytest.mark.parametrize(("text", "found"), [("webhook", True), ("stdout", False), ("no.such:Thing", False)])
def test_exporters_are_known_by_their_names(text: str, found: bool) -> None:
    """Those with groups of their own alone."""
    assert is_exporter(text) is found
