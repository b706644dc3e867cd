"""The highest number: a loss is noticed by somebody, once, and none is invented, whatever order replies come in."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.telemetry.highest_number import SECTION, HighestNumber
from payflux.telemetry.slab import Slab

WORKERS = 3
COUNT = """
import fcntl, os, sys
from payflux.telemetry.highest_number import HighestNumber
from payflux.telemetry.slab import Slab

slab, place, server, rounds = Slab(int(sys.argv[1])), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
highest = HighestNumber(slab, place)
sys.stdin.readline()
behind = 0
for _ in range(rounds):
    told = highest.told()
    fd = os.open(server, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    number = int(os.pread(fd, 20, 0)) + 1
    os.pwrite(fd, b"%020d" % number, 0)
    os.close(fd)
    behind += number <= told
    highest.heard(number)
print(behind, highest.told())
"""


@pytest.fixture
def slab() -> Iterator[Slab]:
    """The shared memory of three processes."""
    slab = Slab.create({SECTION: HighestNumber.size(WORKERS)})
    yield slab
    os.close(slab.fd)


def test_all_know_the_highest(slab: Slab) -> None:
    """What one was told counts for all, and a lower reply that was sent earlier takes nothing back."""
    one, two, three = (HighestNumber(slab, place) for place in range(WORKERS))
    assert one.told() == two.told() == 0
    two.heard(9)
    one.heard(5)
    assert one.told() == two.told() == three.told() == 9
    assert HighestNumber(slab, 1).told() == 9  # after the death of the process, too


def test_a_loss_begins_anew_for_all(slab: Slab) -> None:
    """Once one has found out that Redis knows less, what was told before counts for nobody."""
    one, two, _ = (HighestNumber(slab, place) for place in range(WORKERS))
    one.told()
    one.heard(100)
    assert two.told() == 100
    two.heard(3)
    assert one.told() == two.told() == 3
    one.heard(4)
    assert two.told() == 4


def test_a_reply_from_before_a_loss_counts_no_more(slab: Slab) -> None:
    """A slow process hears of a number that was lost meanwhile: had it counted, every event of now would be a loss."""
    fast, slow, _ = (HighestNumber(slab, place) for place in range(WORKERS))
    fast.told()
    fast.heard(100)
    slow.told()
    fast.told()
    fast.heard(1)  # everything is gone
    slow.heard(101)  # sent and answered before that
    assert fast.told() == slow.told() == 1


def test_two_find_out_about_the_same_loss(slab: Slab) -> None:
    """Both were told of less; the higher of the two numbers stands, whoever is first."""
    for first, second in ((1, 2), (2, 1)):
        slab.bytes(SECTION).cast("q")[0] = 0
        one, two, _ = (HighestNumber(slab, place) for place in range(WORKERS))
        one.told()
        one.heard(100)
        one.told(), two.told()
        one.heard(first)
        two.heard(second)
        assert one.told() == two.told() == 2


class Script:
    """One script on its way.

    Attributes:
        told: the number it was sent with.
        fresh: the life of the server when it was sent, unless a script that ran in an earlier one was still under way.
        number: what the server answered; None while it has not run.
        life: of the server, when it ran.
    """

    def __init__(self, told: int, fresh: int | None) -> None:
        self.told, self.fresh = told, fresh
        self.number: int | None = None
        self.life = 0


class Node:
    """Processes that append one event at a time to a server that may lose them all."""

    def __init__(self, slab: Slab) -> None:
        self.workers = [HighestNumber(slab, place) for place in range(WORKERS)]
        self._onlooker = HighestNumber(slab, 0)
        self.scripts: dict[int, Script] = {}
        self.number = self.life = self.settled = 0

    def step(self, worker: int) -> None:
        """A process sends a script, the server runs it, or the process hears the reply; whatever comes next."""
        script = self.scripts.get(worker)
        if script is None:
            stale = any(one.number is not None and one.life != self.life for one in self.scripts.values())
            self.scripts[worker] = Script(self.workers[worker].told(), None if stale else self.life)
        elif script.number is None:
            self.number += 1
            script.number, script.life = self.number, self.life
        else:
            before = self.highest()
            self.workers[worker].heard(script.number)
            assert self.highest() >= before or script.number < script.told, "a loss was hidden"
            del self.scripts[worker]
            if script.fresh == script.life == self.life:
                self.settled = self.life

    def highest(self) -> int:
        """What a process that sends now is told, by one that sends nothing."""
        return self._onlooker.told()

    def lose(self) -> None:
        """The server forgets everything."""
        self.number, self.life = 0, self.life + 1


@given(st.lists(st.integers(0, WORKERS), max_size=80))
def test_whatever_the_order_no_loss_is_invented_and_none_is_hidden(steps: list[int]) -> None:
    """What was told is taken back by the reply of a script alone that was told more than the server knew.

    And once a script has come and gone after a loss, with no reply of before still under way, nobody is told more than
    the server knows.
    """
    slab = Slab.create({SECTION: HighestNumber.size(WORKERS)})
    node = Node(slab)
    for step in steps:
        node.step(step) if step < WORKERS else node.lose()
        if node.settled == node.life:
            assert node.highest() <= node.number, "a loss was invented"
    os.close(slab.fd)


def test_processes_that_count_at_once_invent_no_loss(slab: Slab, tmp_path: Path) -> None:
    """Real processes, thousands of replies: none is behind what its process was told when it asked."""
    server = tmp_path / "server"
    server.write_bytes(b"%020d" % 0)
    counting = [
        subprocess.Popen(
            [sys.executable, "-c", COUNT, str(slab.fd), str(place), str(server), "3000"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(slab.fd,),
        )
        for place in range(WORKERS)
    ]
    for process in counting:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0].split() for process in counting]
    assert [behind for behind, _ in found] == ["0"] * WORKERS
    assert max(int(told) for _, told in found) == 3000 * WORKERS
