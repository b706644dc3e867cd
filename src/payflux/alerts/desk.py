"""Who tells: of all nodes with receivers one at a time, the holder of a lease."""

import asyncio
import time
from collections.abc import Callable, Sequence

from payflux.alerts.shift import Shift
from payflux.alerts.store import AlertStore, Memory
from payflux.alerts.telling import Fields, Teller
from payflux.errors import StreamUnavailable
from payflux.log import Say, log
from payflux.stream.protocol import LeaseLost

STANDBY_SECONDS = 0.5
RETRY_SECONDS = 1.0


class Desk:
    """Takes the lease when it is free, and tells while it has it.

    Args:
        store: what is kept.
        tellers: makes one for each receiver, from what is remembered.
        watch: called with the tellers in each turn, and with none on standby.
        now: Unix time.
        say: logs.
    """

    def __init__(
        self,
        store: AlertStore,
        tellers: Callable[[Memory], Sequence[Teller]],
        watch: Callable[[Sequence[Teller]], None],
        now: Callable[[], float] = time.time,
        say: Say = log,
    ) -> None:
        self._store, self._make_tellers, self._watch = store, tellers, watch
        self._now, self._say = now, say
        self._unsaved: Fields = {}
        self._ending = asyncio.Event()
        self._met = ""

    async def run(self) -> None:
        """Tell until `stop`."""
        while not self._ending.is_set():
            try:
                if await self._store.hold():
                    self._met = ""
                    await self._work()
                else:
                    self._unsaved.clear()  # another one tells anew what it does not know
                    self._watch(())
                    await self._pause(STANDBY_SECONDS)
            except LeaseLost:
                self._say("warning", "alerts_lease_lost")
            except StreamUnavailable as error:
                self._meet(error)
                await self._pause(RETRY_SECONDS)
        self._watch(())

    async def _work(self) -> None:
        if self._unsaved:
            await self._store.note(self._unsaved)
            self._unsaved.clear()
        memory = await self._store.memory()
        tellers = self._make_tellers(memory)
        shift = Shift(self._store, tellers, self._unsaved, self._now, self._say)
        await shift.begin(memory)
        self._say("info", "alerts_begin", receivers=", ".join(teller.name for teller in tellers))
        tasks = [asyncio.create_task(shift.tell(teller)) for teller in tellers]
        try:
            while not self._ending.is_set():
                await shift.turn()
                self._watch(tellers)
                for task in tasks:
                    if task.done():
                        task.result()  # none of them returns by itself: it raised
                if not await self._store.hold():
                    raise LeaseLost("another one tells now")
        finally:
            shift.end()
            await asyncio.gather(*tasks, return_exceptions=True)  # what is being told is told, and remembered

    def _meet(self, error: StreamUnavailable) -> None:
        if error.code != self._met:
            self._met = error.code
            self._say("warning", "alerts_wait", code=error.code, reason=str(error))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            pass

    def stop(self) -> None:
        """Begin nothing more; `run` returns once what is being told is told."""
        self._ending.set()

    async def leave(self) -> None:
        """Give up the lease, and close."""
        if self._unsaved:
            try:
                await self._store.note(self._unsaved)
            except (StreamUnavailable, LeaseLost):
                self._say("warning", "alerts_unsaved", number=len(self._unsaved))
        await self._store.leave()
