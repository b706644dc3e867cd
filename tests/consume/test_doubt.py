"""Lines in doubt: which numbers a dead consumer leaves behind, and which of them stand nowhere."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer_parts import Parts, bad, good, put
from events import CANONICAL
from payflux.consume.doubt import BATCHES, RUNS, InDoubt, Run, runs_of
from payflux.consume.ledger import ConsumerLedger
from payflux.exporters.fanout import ExporterQueue, FanOut
from payflux.exporters.file import FileExporter
from payflux.stream.deliveries import Ledger
from payflux.telemetry.metrics import STREAM_LOST, Metrics, create_slab
from payflux.testing import MemoryStream


def line(seq: int) -> bytes:
    """A line as the consumer makes them."""
    return CANONICAL[:-1] + b',"stream_message_id":"%d-0","seq":%d,"schema_version":1}\n' % (1000 + seq, seq)


class Held(FileExporter):
    """Writes no line before it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.may_write = threading.Event()

    def write(self, data: bytes) -> None:
        """Wait, then write."""
        assert self.may_write.wait(10)
        super().write(data)


class World:
    """A file, what writes it, and what is in doubt."""

    def __init__(self, path: Path) -> None:
        self.path, self.exporter = path, Held(path)
        self.metrics = Metrics(create_slab(["consumer"]), "consumer")
        self.queue = ExporterQueue("file", self.exporter, self.metrics, 1 << 26)
        self.fan_out = FanOut([self.queue])
        self.doubt = InDoubt(self.fan_out)

    def publish(self, first: int, last: int) -> None:
        """Hand lines to the exporter."""
        numbers = range(first, last + 1)
        self.doubt.add((Run(first, last),), len(numbers))
        self.fan_out.publish([line(number) for number in numbers])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A file that is not written yet."""
    made = World(tmp_path / "events.jsonl")
    yield made
    made.exporter.may_write.set()
    made.fan_out.end(10)
    os.close(made.metrics.slab.fd)


def test_what_is_published_is_in_doubt_until_it_is_written(world: World) -> None:
    """Batches that go on where another ends are one run; what will be published next is noted with them."""
    assert world.doubt.noted() == b""
    world.publish(1, 5)
    world.publish(6, 9)
    world.publish(12, 12)
    assert world.doubt.noted() == b"1-9 12-12"
    assert world.doubt.noted((Run(13, 14),)) == b"1-9 12-14"
    world.exporter.may_write.set()
    world.fan_out.end(10)
    assert world.doubt.noted() == b""
    assert world.doubt.noted((Run(13, 14),)) == b"13-14"


def test_what_is_noted_is_bounded_and_never_less(world: World) -> None:
    """However many batches with holes are in doubt: a few runs that hold them all."""
    for number in range(1, 3 * BATCHES, 2):
        world.publish(number, number)
    runs = [tuple(map(int, run.split(b"-"))) for run in world.doubt.noted().split()]
    assert len(runs) == RUNS
    assert (runs[0][0], runs[-1]) == (1, (3 * BATCHES - 1, 3 * BATCHES - 1))


@pytest.mark.parametrize(
    ("standing", "in_doubt", "noted", "gone"),
    [
        (range(1, 101), 10, b"91-100", 0),
        (range(1, 96), 10, b"91-100", 5),
        (range(1, 91), 10, b"91-100", 10),
        ([*range(1, 91), 92, 94], 5, b"91-92 94-96", 3),
        ([*range(1, 90), 91, 3], 2, b"3-3 91-91", 0),
        ([*range(4, 90), 3], 2, b"3-3 91-91", 1),
        ([], 7, b"1-7", 7),
        (range(1, 101), 3, b"91-100", 0),
        (range(1, 97), 3, b"91-100", 3),
        (range(1, 101), 7, b"", 7),
        (range(1, 101), 7, b"rubbish", 7),
        (range(1, 101), 7, b"1-999999999999999", 7),
        (range(1, 101), 7, b"100-91", 7),
        (range(1, 101), -3, b"91-100", -3),
    ],
)
def test_only_what_no_line_holds_is_gone(
    world: World, standing: list[int], in_doubt: int, noted: bytes, gone: int
) -> None:
    """Never more than is in doubt; where the numbers are not known, or cannot be, all of it."""
    world.path.write_bytes(b"".join(map(line, standing)))
    assert world.doubt.gone(in_doubt, noted) == gone


def test_a_ledger_counts_what_is_missing_in_the_file(world: World) -> None:
    """The successor's ledger, given the one its dead predecessor noted last."""
    world.path.write_bytes(b"".join(map(line, range(1, 96))))
    ledger = ConsumerLedger(world.fan_out, world.metrics, "two")
    before = Ledger("one", acked=100, settled=60, last_id=b"1100-0", last_seq=100, in_doubt=b"61-100")
    ledger.begin(before, fresh=True)
    assert world.metrics.get(STREAM_LOST, "crash") == 5


async def test_what_a_consumer_notes_are_the_numbers_of_its_lines() -> None:
    """Read or followed, with an entry among them that gets no line, and one that is taken up later."""
    one = await Parts(MemoryStream()).join()
    held = threading.Event()
    write = one.exporter.write
    one.exporter.write = lambda data: (held.wait(10), write(data))[1]  # type: ignore[method-assign]
    await put(one.stream, good(), good(), bad(), good(), good(), good())
    one.enricher.fails = {5}
    await one.settlement.process(await one.stream.read(4, 0.01))
    assert (await one.stream.noted()).in_doubt == b"1-2 4-4"
    await one.settlement.process(await one.stream.follow(one.ledger.last_id, 9, 0.01), followed=True)
    assert (await one.stream.noted()).in_doubt == b"1-2 4-4 6-6"
    one.enricher.fails = set()
    await one.reclaim.recover()
    assert (await one.stream.noted()).in_doubt == b"1-2 4-4 6-6 5-5"
    held.set()
    assert await one.numbers() == [1, 2, 4, 6, 5]
    assert one.ledger.noted().in_doubt == b""


def test_the_runs_that_numbers_make_up() -> None:
    """In any order; none of none."""
    assert runs_of([]) == ()
    assert runs_of([5, 4, 2, 1, 9]) == (Run(1, 2), Run(4, 5), Run(9, 9))
