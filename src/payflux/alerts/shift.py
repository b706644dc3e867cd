"""From taking the lease to losing it: everything that is to be told is found, told, and remembered."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from payflux.alerts.delivery import Told
from payflux.alerts.standing import Standing
from payflux.alerts.store import AlertStore, Memory, Read, field_of
from payflux.alerts.telling import Fields, Teller
from payflux.errors import StreamUnavailable
from payflux.log import Say, log
from payflux.risk.incidents.mutes import Mute

BLOCK_SECONDS = 0.5
LOOK_SECONDS = 1.0
"""So often a receiver's turn comes without news: waits, mutes and minutes end by themselves."""

KEPT_SEC = 86_400.0
"""For so long what was lost is named by `payflux check`, and a mute that has ended is remembered."""


class Shift:
    """One who tells.

    Args:
        store: what is kept.
        tellers: of each receiver.
        unsaved: what could not be kept yet; it outlives the shift.
        now: Unix time.
        say: logs.
    """

    def __init__(
        self,
        store: AlertStore,
        tellers: Sequence[Teller],
        unsaved: Fields,
        now: Callable[[], float] = time.time,
        say: Say = log,
    ) -> None:
        self._store, self._tellers, self._unsaved, self._now, self._say = store, tellers, unsaved, now, say
        self._standing = Standing()
        self._mutes: dict[str, Mute] | None = None
        self._done: list[bytes] = []
        self._dropped: Fields = {}
        self._news = {teller.name: asyncio.Event() for teller in tellers}
        self._over = False

    async def begin(self, memory: Memory) -> None:
        """Go on where another one stopped: what was read and not finished, and what receivers believe to be open."""
        self._standing.see_open(await self._store.open())
        self._see(await self._store.unfinished())
        known = {one for told in memory.told.values() for one in told}
        gone = known - self._standing.incidents.keys()
        open_there = {one for told in memory.told.values() for one in told.keys() & gone if _is_open(told[one])}
        for incident in (await self._store.find(open_there)).values():
            self._standing.see_change(b"", incident)
        for name, told in memory.told.items():
            for one in told.keys() - self._standing.incidents.keys():
                self._forget_former(name, one, told[one])

    def _forget_former(self, receiver: str, incident: str, told: Told) -> None:
        if told.lost and self._now() - told.at < KEPT_SEC:
            return
        if _is_open(told):
            self._say("warning", "incident_unknown", receiver=receiver, incident=incident)
        self._unsaved[field_of(receiver, incident)] = b""

    async def turn(self) -> None:
        """Look what there is, for half a second or until something happens.

        Raises:
            LeaseLost: another one tells now.
            StreamUnavailable: Redis cannot be used.
        """
        self._standing.see_open(await self._store.open())
        await self._look_at_mutes()
        self._see(await self._store.changes(BLOCK_SECONDS))
        await self._look_for_vanished()
        self._finish()
        await self._save_all()
        for news in self._news.values():
            news.set()

    def _see(self, reads: Iterable[Read]) -> None:
        for read in reads:
            if read.incident is None or self._standing.see_change(read.id, read.incident):
                self._done.append(read.id)

    async def _look_at_mutes(self) -> None:
        now, found = self._now(), await self._store.mutes()
        before, self._mutes = self._mutes, found
        for mute in found.values() if before is not None else ():
            if mute.id not in (before or {}):
                self._say("info", "alerts_muted", **mute.told())
        for one, mute in (before or {}).items():
            if one not in found:
                self._say("info", "alerts_unmuted", **mute.told())
        old = [one for one, mute in found.items() if mute.until < now - KEPT_SEC]
        if old:
            await self._store.unmute(*old)

    async def _look_for_vanished(self) -> None:
        """An incident that is open nowhere any more, and nobody has told its end: Redis may have lost it."""
        vanished = set(self._standing.vanished)
        for incident in (await self._store.find(vanished)).values():
            self._standing.see_change(b"", incident)
        for one in vanished & self._standing.vanished:
            self._say("warning", "incident_unknown", incident=one)
            self._drop(one)

    def _finish(self) -> None:
        mutes, now = self._held(), self._now()
        for incident in self._standing.ended():
            if all(teller.delivery.is_done(incident, mutes, now) for teller in self._tellers):
                self._drop(incident.id)

    def _drop(self, incident: str) -> None:
        self._done += self._standing.drop(incident)
        for teller in self._tellers:
            if teller.delivery.forget(incident):
                self._dropped[field_of(teller.name, incident)] = b""

    def _held(self) -> list[Mute]:
        return list((self._mutes or {}).values())

    async def tell(self, teller: Teller) -> None:
        """Tell one receiver everything, until the shift is over."""
        news = self._news[teller.name]
        while not self._over:
            fields = await teller.tell(self._standing.incidents, self._held()) if self._mutes is not None else None
            if fields is None:
                await _set_within(news, LOOK_SECONDS)
                news.clear()
                continue
            self._unsaved |= fields
            try:
                await self._save()
            except StreamUnavailable:
                continue  # the turn meets it too, and what is unsaved is kept later

    async def _save(self) -> None:
        fields = dict(self._unsaved)
        await self._store.note(fields)
        self._saved(fields)

    def _saved(self, fields: Fields) -> None:
        for name, value in fields.items():
            if self._unsaved.get(name) is value:
                del self._unsaved[name]

    async def _save_all(self) -> None:
        """In one step with it what is done with: what was forgotten and then read again would be told anew."""
        told, dropped, done = dict(self._unsaved), self._dropped, self._done
        if told or dropped or done:
            self._dropped, self._done = {}, []
            await self._store.note(told | dropped, done)
            self._saved(told)

    def end(self) -> None:
        """Begin nothing more."""
        self._over = True
        for news in self._news.values():
            news.set()


def _is_open(told: Told) -> bool:
    return not (told.resolved or told.lost or told.summed)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
