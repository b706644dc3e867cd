"""What processes tell each other: every number has a place of its own, and another process reads it."""

import os
import subprocess
import sys

from payflux.telemetry.metrics import Metrics, create_slab
from payflux.telemetry.notes import CONSUMER, DESTINATIONS, SUPERVISOR, ChildNotes, DestinationNotes

TELL = """
import sys
from payflux.telemetry.metrics import Metrics
from payflux.telemetry.slab import Slab
slab = Slab(int(sys.argv[1]))
notes = Metrics(slab, "consumer").notes
notes.beat(12.5)
notes.begin_ledger(-3)
file = notes.destination(1)
file.settle(10)
file.refuse(2)
file.write(begins=True)
file.fail(7)
Metrics(slab, "supervisor").notes.fail(failing=True)
"""


def test_no_two_numbers_share_a_place() -> None:
    """Those of a child and those of each of its destinations fill the section, each once."""
    values = memoryview(bytearray(8 * ChildNotes.SIZE)).cast("d")
    notes = ChildNotes(values, 0)
    owners = [notes, *(notes.destination(number) for number in range(DESTINATIONS + 1))]
    told = 0
    for owner in owners:
        for name in (
            ("heartbeat", "failing", "base", "trouble")
            if owner is notes
            else ("settled", "refused", "writing", "error")
        ):
            told += 1
            setattr(owner, name, float(told))
    assert list(values) == list(range(1, ChildNotes.SIZE + 1))


def test_what_a_process_said_outlives_it() -> None:
    """Another process of the node reads it, and a successor forgets what it has to and keeps the last error."""
    slab = create_slab([SUPERVISOR, CONSUMER])
    subprocess.run([sys.executable, "-c", TELL, str(slab.fd)], pass_fds=(slab.fd,), timeout=30, check=True)
    notes = Metrics(slab, CONSUMER).notes
    file = notes.destination(1)
    assert (notes.heartbeat, notes.base, notes.failing) == (12.5, -3, 0)
    assert Metrics(slab, SUPERVISOR).notes.failing == 1

    def numbers(one: DestinationNotes) -> tuple[float, ...]:
        return one.settled, one.refused, one.writing, one.error

    assert numbers(file) == (10, 2, 1, 7)
    assert numbers(notes.destination(0)) == numbers(notes.destination(2)) == (0, 0, 0, 0)
    file.begin()
    assert numbers(file) == (0, 0, 0, 7)
    os.close(slab.fd)
