from collections import Counter
from typing import Any

import msgspec

from incidents import NOON, incident
from payflux.alerts import Kind, Later, Notice, Refused, Request, Taken
from payflux.alerts.delivery import OVERDUE_SEC, Delivery, Told
from payflux.alerts.selection import Selection
from payflux.alerts.store import Trouble
from payflux.alerts.telling import Teller
from payflux.outgoing.patience import Patience

ONE = incident()
KEY = f"own {ONE.id}"


class Own:
    """A receiver of somebody's own that does what it is told to."""

    def __init__(self, *does: Exception | Taken) -> None:
        self.does = list(does)

    def requests(self, _: Notice) -> list[Request]:
        """None."""
        return []

    def send(self, _: Notice) -> Taken:
        """The next thing."""
        done = self.does.pop(0)
        if isinstance(done, Exception):
            raise done
        return done


class Telling:
    """A teller with what came of it."""

    def __init__(self, *does: Exception | Taken, trouble: Trouble | None = None) -> None:
        self.now, self.said, self.counted = float(NOON), list[str](), Counter[str]()
        kind = Kind(lambda _: Own(), "for the test")
        delivery = Delivery(kind, Selection(), {}, lambda _: "", Patience(chance=lambda: 0.0))
        self.teller = Teller("own", Own(*does), delivery, self.count, None, trouble, lambda: self.now, self.say)

    def count(self, result: str, number: int) -> None:
        """Count."""
        self.counted[result] += number

    def say(self, level: str, msg: str, **_: Any) -> None:
        """Note."""
        self.said.append(f"{level} {msg}")

    async def tell(self) -> dict[str, bytes] | None:
        """Tell of one incident, whenever that may be."""
        self.now = max(self.now, self.teller.delivery.waits_until)
        return await self.teller.tell({ONE.id: ONE}, [])


async def test_what_it_took_is_remembered_counted_and_logged() -> None:
    """With what it wants to have remembered; then there is nothing more."""
    told = Telling(Taken("HTTP 200", "1700.1"))
    fields = await told.tell()
    assert fields is not None
    assert msgspec.json.decode(fields[KEY], type=Told).memory == "1700.1"
    assert (told.counted, told.said) == ({"sent": 1}, ["info alert_sent"])
    assert await told.tell() is None


async def test_a_trouble_is_said_once_and_over_when_it_is() -> None:
    """Whatever a receiver of somebody's own raises is one."""
    told = Telling(Later("HTTP 500"), Later("HTTP 500"), KeyError("oops"), Taken())
    first = await told.tell()
    assert first is not None
    assert msgspec.json.decode(first["own"], type=Trouble) == Trouble(NOON, "HTTP 500")
    assert await told.tell() == {}
    third = await told.tell()
    assert third is not None
    assert msgspec.json.decode(third["own"], type=Trouble) == Trouble(NOON, "KeyError: 'oops'")
    last = await told.tell()
    assert last is not None
    assert last["own"] == b""
    assert told.counted == {"failed": 3, "sent": 1}
    assert told.said == [*["warning alert_failed"] * 2, "info alert_sent", "info receiver_recovered"]


async def test_what_it_will_never_take_is_lost_and_said() -> None:
    """One that is gone is told nothing more, and that is said too."""
    told = Telling(Refused("HTTP 410", stopped=True))
    fields = await told.tell()
    assert fields is not None
    assert msgspec.json.decode(fields[KEY], type=Told).lost
    assert msgspec.json.decode(fields["own"], type=Trouble).stopped
    assert (told.counted, told.said) == ({"refused": 1}, ["error alert_refused", "error receiver_stopped"])


async def test_what_waits_for_an_hour_is_counted_once() -> None:
    """And named in the log; how long it waits can be asked."""
    told = Telling(*[Later("no answer")] * 100)
    while told.now < NOON + OVERDUE_SEC + 200:
        await told.tell()
    assert told.counted["overdue"] == 1
    assert told.said.count("error alert_overdue") == 1
    assert told.teller.waiting() > OVERDUE_SEC
