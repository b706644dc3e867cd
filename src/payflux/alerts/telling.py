"""Telling one receiver, one thing after the other, and what comes of it: counted, logged, and to be remembered."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor

import msgspec

from payflux.alerts import Later, Notice, Receiver, Refused, Taken
from payflux.alerts.delivery import Delivery, Told
from payflux.alerts.store import Trouble, field_of
from payflux.log import Say, log
from payflux.risk.incidents.incident import Incident
from payflux.risk.incidents.mutes import Mute

MOST_NAMED = 20

Count = Callable[[str, int], None]
"""Counts one of `ALERT_RESULTS`, so many times."""

Fields = dict[str, bytes]
"""What is to be kept, as `AlertStore.note` takes it."""


class Teller:
    """Tells one receiver.

    Args:
        name: of the receiver.
        receiver: what is told.
        delivery: decides what.
        count: counts what came of it.
        threads: where it waits for answers.
        trouble: what troubled it last, if that is so still.
        now: Unix time.
        say: logs.
    """

    def __init__(  # noqa: PLR0917 - all that it works with
        self,
        name: str,
        receiver: Receiver,
        delivery: Delivery,
        count: Count,
        threads: Executor | None = None,
        trouble: Trouble | None = None,
        now: Callable[[], float] = time.time,
        say: Say = log,
    ) -> None:
        self.name, self.delivery = name, delivery
        self._receiver, self._count, self._threads = receiver, count, threads
        self._now, self._say = now, say
        # One that had stopped is tried once more by who takes over: its settings may be others now.
        self._trouble = trouble

    def waiting(self) -> float:
        """Seconds since which there is something that it could not be told."""
        return self.delivery.waiting(self._now())

    async def tell(self, incidents: Mapping[str, Incident], mutes: Iterable[Mute]) -> Fields | None:
        """Tell it what comes next.

        Args:
            incidents: as they stand, by id.
            mutes: all of them.

        Returns:
            What is to be kept; None when there was nothing to tell.
        """
        notice = self.delivery.next(incidents.values(), mutes, self._now())
        if notice is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            taken = await loop.run_in_executor(self._threads, self._receiver.send, notice)
        except Refused as error:
            return self._refused(notice, error)
        except Exception as error:  # noqa: BLE001 - a receiver of somebody's own raises what it likes
            return self._failed(notice, error, incidents)
        return self._took(notice, taken)

    def _took(self, notice: Notice, taken: Taken) -> Fields:
        fields = self._encoded(self.delivery.took(notice, taken.memory, self._now()))
        self._count("sent", 1)
        if notice.kind != "still":
            self._say("info", "alert_sent", **self._about(notice), answer=taken.answered)
        if self._trouble is not None:
            self._say("info", "receiver_recovered", receiver=self.name)
            fields[self.name] = b""
            self._trouble = None
        return fields

    def _failed(self, notice: Notice, error: Exception, incidents: Mapping[str, Incident]) -> Fields:
        now, why = self._now(), str(error) if isinstance(error, Later) else f"{type(error).__name__}: {error}"
        failure = self.delivery.failed(error.after if isinstance(error, Later) else 0.0, incidents, now)
        self._count("failed", 1)
        fields = self._encoded(failure.lost)
        if self._trouble is None or self._trouble.why != why:
            self._say("warning", "alert_failed", **self._about(notice), reason=why)
            fields |= self._troubled(Trouble(self._trouble.since if self._trouble else now, why))
        if failure.overdue:
            self._count("overdue", len(failure.overdue))
            self._say("error", "alert_overdue", receiver=self.name, incidents=_named(failure.overdue), reason=why)
        if failure.lost:
            self._count("lost", len(failure.lost))
            self._say("error", "alert_lost", receiver=self.name, incidents=_named(failure.lost), reason=why)
        return fields

    def _refused(self, notice: Notice, error: Refused) -> Fields:
        stopped = str(error) if error.stopped else ""
        lost = self.delivery.refused(notice, self._now(), stopped)
        self._count("refused", len(lost))
        self._say("error", "alert_refused", **self._about(notice), reason=str(error))
        fields = self._encoded(lost)
        if stopped:
            self._say("error", "receiver_stopped", receiver=self.name, reason=stopped)
            fields |= self._troubled(Trouble(self._now(), stopped, stopped=True))
        return fields

    def _troubled(self, trouble: Trouble) -> Fields:
        self._trouble = trouble
        return {self.name: msgspec.json.encode(trouble)}

    def _about(self, notice: Notice) -> dict[str, object]:
        told = {"receiver": self.name, "kind": notice.kind, "incident": notice.incident.id}
        return told | ({"incidents": len(notice.others)} if notice.others else {})

    def _encoded(self, told: Mapping[str, Told]) -> Fields:
        return {field_of(self.name, incident): msgspec.json.encode(one) for incident, one in told.items()}


def _named(incidents: Iterable[str]) -> str:
    known = list(incidents)
    more = [f"and {len(known) - MOST_NAMED} more"] if len(known) > MOST_NAMED else []
    return ", ".join([*known[:MOST_NAMED], *more])
