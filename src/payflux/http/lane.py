"""The lane past reader and pipeline, for requests that are alone on their connection and have a head let in before.

The handler behind a remembered head takes the body at once: nobody judges the head again, and no key is compared. That
is safe, as a head that is equal byte for byte holds the same key, and keys do not change while a process lives. Nor can
time tell a key: heads are looked up by a hash of the whole, with a secret of the process, and the bytes of two are
compared only where all 64 bits of their hashes agree, which a guess that shares some bytes with a key does not bring
about. What is not found there goes the usual way, where every key is compared in constant time.

Where no head comes twice, as it holds a signature, the handler gets the headers too, and proves each request by them.
"""

from typing import Protocol

from payflux.http.head import PLAIN
from payflux.http.known_heads import KnownHeads
from payflux.http.last_head import LastHead
from payflux.http.messages import Request, Response, SignedHandler
from payflux.http.pipeline import Exchange, Pipeline, Shared, defect


class Sender(Protocol):
    """What answers are sent by."""

    def send(self, answers: bytes) -> None:
        """Send answers whose turn has come; drops them when the client has gone."""


class Lane:
    """Takes one request at a time, while nothing else is going on.

    Args:
        shared: what its connection has in common with the server's others.
        pipeline: of its connection; what overtakes a request waits there, behind a place that is kept for it.
        sender: its connection.
        last: the head it sent last, where none comes twice.

    Attributes:
        busy: a handler has a request.
    """

    __slots__ = ("_find", "_last", "_pipeline", "_place", "_respond", "_sender", "_shared", "_used", "busy")

    def __init__(self, shared: Shared, pipeline: Pipeline, sender: Sender, last: LastHead) -> None:
        self._shared, self._pipeline, self._sender, self._last = shared, pipeline, sender, last
        known: KnownHeads = shared.known
        self._find, self._respond = known.find, self._answer
        self._place: Exchange | None = None  # of the request in hand, once others follow it
        self.busy = self._used = False

    def take(self, data: bytes) -> bool:
        """Hand over a request, if the data are exactly one and its head is known; whether they are."""
        end = data.find(b"\r\n\r\n") + 4
        known = self._find(data[:end])
        if known is None or known.body_handler is None or len(data) - end != known.length:
            return self._last.handler is not None and self._take_alike(self._last.handler, data, end)
        self.busy = self._used = True
        try:
            known.body_handler(data[end:], self._respond)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            self._answer(defect(error))
        return True

    def _take_alike(self, handler: SignedHandler, data: bytes, end: int) -> bool:
        headers = self._last.alike(data, end)
        if headers is None:
            return False
        self.busy = self._used = True
        try:
            handler(headers, data[end:], self._respond)
        except Exception as error:  # noqa: BLE001 - a defect of the handler costs one request
            self._answer(defect(error))
        return True

    def _answer(self, response: Response) -> None:
        if not self.busy:
            return  # answered, or its client has gone
        self.busy, place = False, self._place
        if place is None:
            self._sender.send(response.whole(self._shared.tails[PLAIN]))
        else:
            self._place = None
            place.respond(response)

    def leave(self) -> None:
        """Something else happens before the answer: from now on the request is one of those in the pipeline."""
        if self.busy and self._place is None:
            self._place = self._pipeline.add(Request("POST", ""), PLAIN)

    def clear(self) -> None:
        """Forget everything; an answer that is still to come will be dropped."""
        self.busy, self._place = False, None

    def used(self) -> bool:
        """Whether a request came this way since this was asked last; nobody looks at the clock for each."""
        used, self._used = self._used, False
        return used
