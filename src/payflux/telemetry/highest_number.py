"""The highest number of an event that any process of the node was told: what Redis must not fall behind."""

from payflux.telemetry.slab import Slab

SECTION = "highest_number"
_BITS = 48
_NUMBERS = (1 << _BITS) - 1


class HighestNumber:
    """What one process was told, and the highest of what all were told.

    Redis numbers events without gaps. A script that is sent after any process of the node was told a number must find
    at least that number; when its reply says less, Redis has lost events. Then the numbers begin a new life: what was
    told in an earlier one counts no more, nor does the reply of a script that was under way meanwhile, since it may be
    of either life.

    No lock is needed: every process writes its own eight bytes alone, in one store, with the life in the upper bits and
    the number in the lower ones, so that the highest of all is the highest number of the newest life. Two processes
    that find out about the same loss begin the same life.

    One script at a time is under way: `told` is asked for before it is sent, `heard` takes its reply. A process with
    several write paths has a place for each, as scripts of theirs are under way together.

    Args:
        slab: the node's shared memory.
        place: of this write path among those of the node, from 0.
    """

    def __init__(self, slab: Slab, place: int) -> None:
        self._values = slab.bytes(SECTION).cast("q")
        self._place = place
        self._sent = 0

    @staticmethod
    def size(places: int) -> int:
        """The bytes it takes for so many write paths."""
        return places * 8

    def told(self) -> int:
        """The highest number any process has been told in this life; 0 when none was."""
        self._sent = max(self._values)
        return self._sent & _NUMBERS

    def heard(self, number: int) -> None:
        """Take the number that a reply tells."""
        life = self._sent >> _BITS
        if number < self._sent & _NUMBERS:
            life += 1
        elif max(self._values) >> _BITS > life:
            return
        self._values[self._place] = life << _BITS | number
