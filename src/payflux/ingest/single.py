"""Single events: rate, validation, append, answer. `payflux.ingest.batch` takes many at once."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from payflux.errors import InvalidEvent, StreamUnavailable
from payflux.event.decode import StoredEvent, decode_event, decode_events
from payflux.http.limits import INTERNAL_ERROR
from payflux.http.messages import Request, Respond
from payflux.ingest.admission import JSON_TYPES, Admission
from payflux.ingest.answers import ACCEPTED, DUPLICATE, invalid, too_fast, unavailable
from payflux.ingest.counters import IngestCounters
from payflux.ingest.gatekeeper import Gatekeeper
from payflux.log import log
from payflux.stream.protocol import APPENDED, AppendStream
from payflux.telemetry.metrics import Metrics

TOGETHER = 8  # events that arrive together are decoded together from here on

Arrived = tuple[int, bytes, Respond]
"""An event that waits to be worked off: the number of its key, its body, and who waits for the answer."""


class Ingest:
    """Single events: `POST /v1/events/payment_exhaust`.

    Attributes:
        admit: judges a request by its head.
    """

    def __init__(
        self,
        stream: AppendStream,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            stream: where events go.
            gatekeeper: knows the keys and their rates.
            metrics: of this child.
            now: a monotonic clock.
            soon: runs something when everything that arrived together has been read; unset: the event loop does.
        """
        self._counters = IngestCounters(metrics, now)
        self._refuse = self._counters.refuse
        self._admission = Admission(
            gatekeeper, metrics, JSON_TYPES, self._refuse, lambda key: partial(self._arrive, key)
        )
        self.admit = self._admission.admit
        self._stream = stream
        self._bucket = gatekeeper.bucket
        self._now = now
        self._soon = soon or asyncio.get_running_loop().call_soon
        self._arrived: list[Arrived] = []
        self._since = 0.0

    def handle(self, request: Request, respond: Respond) -> None:
        """Store one event and answer 202, or say why not."""
        self._arrive(self._admission.key(request), request.body, respond)

    def _arrive(self, key: int, body: bytes, respond: Respond) -> None:
        """Keep it until all that came with it is there: what is done for many at once costs each of them less."""
        self._arrived.append((key, body, respond))
        if len(self._arrived) == 1:
            self._since = self._now()
            self._soon(self._work)

    def _work(self) -> None:
        arrived, self._arrived = self._arrived, []
        over = self._over_rate(arrived)
        if over:
            arrived = [one for one in arrived if one[0] not in over or self._passes(one)]
        events, waiting = self._decode_together(arrived) or self._decode(arrived)
        if events:
            self._stream.append(events, partial(self._stored, events, waiting, self._since))

    def _decode_together(self, arrived: Sequence[Arrived]) -> tuple[list[StoredEvent], Sequence[Arrived]] | None:
        """The valid events, as `_decode` tells them; None when they are few, or not all are plainly events."""
        if len(arrived) < TOGETHER:
            return None
        try:
            events = decode_events([body for _, body, _ in arrived])
        except Exception:  # noqa: BLE001 - a defect of ours: one by one it costs the request it belongs to
            return None
        if events is None:
            return None
        if len(events) == len(arrived):
            return events, arrived
        others, waiting = self._decode(arrived[len(events) :])
        return [*events, *others], [*arrived[: len(events)], *waiting]

    def _passes(self, one: Arrived) -> bool:
        """Whether an event is within the rate of its key; answers it when not."""
        key, _, respond = one
        wait = self._bucket.take(key, 1)
        if wait:
            respond(self._refuse("rate_limited", too_fast(wait)))
        else:
            self._counters.taken(key, 1)
        return not wait

    def _decode(self, arrived: Sequence[Arrived]) -> tuple[list[StoredEvent], Sequence[Arrived]]:
        """The valid events, and who waits for each; the others are answered."""
        events: list[StoredEvent] = []
        waiting: list[Arrived] = []
        for one in arrived:
            _, body, respond = one
            try:
                event = decode_event(body)
            except InvalidEvent as error:
                respond(self._refuse(error.code, invalid(error)))
            except Exception as error:  # noqa: BLE001 - a defect of ours costs one request, not those beside it
                log("error", "handler_failed", error=type(error).__name__)
                respond(INTERNAL_ERROR)
            else:
                events.append(event)
                waiting.append(one)
        return events, waiting

    def _over_rate(self, arrived: Sequence[Arrived]) -> set[int]:
        """The keys not all of whose events may pass; the others have paid for theirs."""
        over = set()
        for key, n in Counter([key for key, _, _ in arrived]).items():
            if self._bucket.take_each(key, n):
                self._counters.taken(key, n)
            else:
                over.add(key)
        return over

    def _stored(
        self,
        events: Sequence[StoredEvent],
        waiting: Sequence[Arrived],
        since: float,
        results: bytes,
        error: StreamUnavailable | None,
    ) -> None:
        self._counters.took(since, len(waiting))
        self._counters.stored([event.processor for event in events], results)
        if results.count(APPENDED) == len(waiting):
            for _, _, respond in waiting:
                respond(ACCEPTED)
            return
        for (key, _, respond), result in zip(waiting, results, strict=False):
            if result != APPENDED:
                self._counters.repeated(key, 1)
            respond(ACCEPTED if result == APPENDED else DUPLICATE)
        if error is not None:
            refusal = unavailable(error)
            for _, _, respond in waiting[len(results) :]:
                respond(self._refuse("unavailable", refusal))
