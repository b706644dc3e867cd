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
    """No request has more, however much is put at once; what is put later follows what waits."""
    once = OneOff("webhook", given(theirs, BATCH_EVENTS="100", BATCH_BYTES="1024"), log)
    await once.put(LINES * 4)
    await once.put(LINES * 2 + LINES[:2])
    await once.flush()
    assert [len(one.body) // len(LINES[0]) for one in theirs.got] == [10, 10, 10, 2]
    assert once.confirmed == 32


async def test_what_the_filter_leaves_out_is_counted_apart(theirs: Receiving) -> None:
    """It is not at the destination."""
    once = OneOff("webhook", given(theirs, PROCESSORS="p"), log)
    await once.put([*LINES[:3], LINES[3].replace(b'"processor":"p"', b'"processor":"other"')])
    await once.flush()
    assert (once.confirmed, once.filtered, once.refused) == (3, 1, 0)


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


OWN = """
from payflux.exporters import Batch, GroupDestination
from payflux.settings import Setting

class Odd:
    def __init__(self, opening): self.filter = opening.filter
    def deliver(self, lines): raise OverflowError(self.filter)
    def close(self): raise OverflowError

ODD = Setting("PAYFLUX_EXPORT_ODD_PLACE", str, "", "Where.")
NEVER = Setting("PAYFLUX_EXPORT_NEVER_PLACE", str, "", "Where.")
Odd = GroupDestination(Odd, "odd", Batch(2, 2048, 0), (ODD,))
Never = GroupDestination(lambda opening: 1 // 0, "never", Batch(2, 2048, 0), (NEVER,))
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module with exporters of one's own that fail as nobody foresaw."""
    place = tmp_path_factory.mktemp("own")
    (place / "one_off_for_tests.py").write_text(OWN)
    monkeypatch.syspath_prepend(place)
    return "one_off_for_tests"


@pytest.mark.parametrize("named", ["{0}:Never", "webhook,{0}:Never,{0}:Odd", "{0}:Odd", "", "no.such:Thing"])
def test_it_is_named_beside_those_that_are_set(own: str, named: str) -> None:
    """Whose variables stay known; they are those of the one alone where the others cannot be read."""
    names = {one.name for one in declared(f"{own}:Odd", {"PAYFLUX_EXPORTERS": named.format(own)})}
    assert "PAYFLUX_EXPORT_ODD_PLACE" in names
    assert ("PAYFLUX_EXPORT_NEVER_PLACE" in names) is ("Never" in named)


async def test_what_nobody_foresaw_is_a_failure_too(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is made, and when it delivers; the lines still wait, and it can be closed."""
    monkeypatch.setattr(one_off, "PATIENCE_SECONDS", 0.0)
    environ = {"PAYFLUX_EXPORTERS": f"{own}:Never"}
    values = load((OUTCOMES, *declared(f"{own}:Odd", environ)), environ)
    with pytest.raises(ExportFailed, match="ZeroDivisionError"):
        OneOff(f"{own}:Never", values, log)
    once = OneOff(f"{own}:Odd", values, log, processors=("p",))
    with pytest.raises(ExportFailed, match=r'OverflowError: {"processors":\["p"\]}'):
        await once.put(LINES)
    assert once.next_entry == b"17-0"
    once.close()


@pytest.mark.parametrize(("text", "found"), [("webhook", True), ("stdout", False), ("no.such:Thing", False)])
def test_exporters_are_known_by_their_names(text: str, found: bool) -> None:
    """Those with groups of their own alone."""
    assert is_exporter(text) is found
