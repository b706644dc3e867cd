"""Shared memory: sections, names and locks, between mappings and between processes that are killed."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.telemetry.slab import HEADER_BYTES, NAME_BYTES, Names, Slab
from servers import until

COUNT = """
import sys
from payflux.telemetry.slab import Slab
values = Slab(int(sys.argv[1])).doubles("counts")
while True:
    values[0] += 1
"""
LEARN = """
import json, sys
from payflux.telemetry.slab import Names, Slab
names = Names(Slab(int(sys.argv[1])), "names")
sys.stdin.readline()
print(json.dumps({name: names.index(name) for name in json.loads(sys.argv[2])}))
"""
HOLD = """
import sys
from payflux.telemetry.slab import Slab
with Slab(int(sys.argv[1])).locked("guarded"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def child(code: str, slab: Slab, *arguments: str) -> subprocess.Popen[str]:
    """A process that has the slab and runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(slab.fd), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(slab.fd,),
        text=True,
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_sections_never_overlap(sizes: list[int]) -> None:
    """What is written to one section is read from it through another mapping, and from no other one."""
    slab = Slab.create({f"s{number}": size for number, size in enumerate(sizes)})
    try:
        assert slab.names() == [f"s{number}" for number in range(len(sizes))]
        for number, size in enumerate(sizes):
            section = slab.bytes(f"s{number}")
            assert bytes(section) == bytes(size)
            section[:] = bytes([number + 1]) * size
        again = Slab(slab.fd)
        for number, size in enumerate(sizes):
            assert bytes(again.bytes(f"s{number}")) == bytes([number + 1]) * size
    finally:
        os.close(slab.fd)


def test_a_header_that_does_not_fit_is_refused() -> None:
    """More sections than the header can name are an error when the slab is made, not a damaged slab."""
    with pytest.raises(ValueError, match="too many sections"):
        Slab.create({f"section-{number}": 8 for number in range(HEADER_BYTES // 8)})


@pytest.mark.parametrize("anonymous", [True, False])
def test_the_file_has_no_name(monkeypatch: pytest.MonkeyPatch, anonymous: bool) -> None:
    """Nothing is left behind on disk, with memfd_create and where the system has none."""
    if not anonymous:
        monkeypatch.delattr(os, "memfd_create")
    slab = Slab.create({"a": 8})
    slab.doubles("a")[0] = 1.5
    assert Slab(slab.fd).doubles("a")[0] == 1.5
    assert os.fstat(slab.fd).st_nlink == 0
    os.close(slab.fd)


def test_counters_survive_the_death_of_their_writer() -> None:
    """What a process counted before a kill -9 is still there, and its successor counts on."""
    slab = Slab.create({"counts": 8})
    values, before = slab.doubles("counts"), 0.0
    for _ in range(2):
        writer = child(COUNT, slab)
        until(lambda: values[0] > before + 1000, "the writer to count")  # noqa: B023 - used within the turn
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(10) == -signal.SIGKILL
        writer.communicate()
        after = values[0]
        assert after > before + 1000
        assert after == int(after)
        before = after
    os.close(slab.fd)


def test_names_are_the_same_in_every_process() -> None:
    """Processes that learn overlapping names at the same time agree on every number, and stay within the table."""
    slab = Slab.create({"names": Names.size(50)})
    everything = [f"name-{number}" for number in range(80)]
    learners = []
    for seed in range(4):
        shuffled = random.Random(seed).sample(everything, 60)
        learners.append(child(LEARN, slab, json.dumps(shuffled)))
    found: dict[str, int] = {}
    for learner in learners:  # all of them are started before the first may begin
        assert learner.stdin is not None
        learner.stdin.write("go\n")
        learner.stdin.flush()
    for learner in learners:
        mapping = json.loads(learner.communicate(timeout=30)[0])
        assert len(mapping) == 60
        for name, number in mapping.items():
            assert found.setdefault(name, number) == number
    known = Names(slab, "names").all()
    assert len(known) == len(set(known)) == 51
    assert known[50] == "other"
    for name, number in found.items():
        assert number == (known.index(name) if name in known else 50)
    os.close(slab.fd)


def test_names_are_sticky_and_bounded() -> None:
    """The first names keep their numbers whatever comes later, and all later ones share the last."""
    slab = Slab.create({"names": Names.size(3)})
    names = Names(slab, "names")
    assert [names.index(name) for name in ("b", "a", "b", "c", "d", "e", "a", "other")] == [0, 1, 0, 2, 3, 3, 1, 3]
    assert names.all() == Names(slab, "names").all() == ["b", "a", "c", "other"]
    os.close(slab.fd)


@pytest.mark.parametrize("odd", ["", "x" * (NAME_BYTES - 1), "é" * (NAME_BYTES // 2), "other"])
def test_a_name_that_fits_no_place_counts_as_other(odd: str) -> None:
    """An empty name, one that is too long and `other` itself take no place and damage no neighbour."""
    slab = Slab.create({"names": Names.size(2)})
    names, others = Names(slab, "names"), Names(slab, "names")
    assert [names.index(odd), names.index("a"), names.index(odd), names.index("b")] == [2, 0, 2, 1]
    assert [others.index("b"), others.index("a"), others.index(odd)] == [1, 0, 2]
    assert names.all() == others.all() == ["a", "b", "other"]
    os.close(slab.fd)


def test_the_longest_name_fits() -> None:
    """A name of 100 characters of 4 bytes each is kept whole beside its neighbours."""
    slab = Slab.create({"names": Names.size(3)})
    wide = "\U0001f4b3" * 100
    assert [Names(slab, "names").index(name) for name in ("a", wide, "b")] == [0, 1, 2]
    assert Names(slab, "names").all() == ["a", wide, "b", "other"]
    os.close(slab.fd)


def test_a_name_half_written_is_written_anew() -> None:
    """A writer that was killed between a name and its length leaves a free place."""
    slab = Slab.create({"names": Names.size(2)})
    slab.bytes("names")[2:8] = b"broken"
    names = Names(slab, "names")
    assert names.all() == ["other"]
    assert names.index("a") == 0
    assert Names(slab, "names").all() == ["a", "other"]
    os.close(slab.fd)


def test_a_lock_ends_with_its_holder() -> None:
    """A section held by a process is held against others, no other section is, and a kill -9 frees it."""
    slab = Slab.create({"other": 16, "guarded": 16, "free": 16})
    holder = child(HOLD, slab)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    start = HEADER_BYTES + 16
    with pytest.raises(BlockingIOError):
        fcntl.lockf(slab.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 16, start)
    with slab.locked("other"), slab.locked("free"):
        holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    with slab.locked("guarded"):
        second = child(HOLD, slab)
        assert second.stdout is not None
    assert second.stdout.readline() == "held\n"
    second.communicate("\n", timeout=10)
    holder.communicate(timeout=10)
    os.close(slab.fd)


def test_a_lock_is_freed_when_its_block_fails() -> None:
    """An exception within the block does not keep the section."""
    slab = Slab.create({"guarded": 16})
    with pytest.raises(KeyError), slab.locked("guarded"):
        raise KeyError
    taker = child(HOLD, slab)
    assert taker.communicate("\n", timeout=20)[0] == "held\n"
    os.close(slab.fd)
