"""Finds the event that something between client and node refuses, so that it stops none of the others.

A firewall, a gateway or a load balancer refuses a request for a word in one of its events, with a status of its own, a
page of HTML or a cut connection, and gives no result for each event. Sent again it is refused again. Whether it is the
batch or the whole way that is closed, a batch without events tells: a node refuses that one by a code of its own, and
only after it has accepted the key. If the node is there and refuses the batch once more (the way may have opened only
for the question), it is halved until the event is alone, and that one is refused for good.
"""

from collections.abc import Callable, Sequence

from payflux.client.batch_result import LASTING, BatchResult, blamed, read_answer, unsettled
from payflux.client.connection import Connection
from payflux.client.wire import SHAPES, takes_events

_BATCH = SHAPES["ndjson"]


class Culprits:
    """Sends batches, and finds out whether what is refused is refused for what is in it.

    Args:
        connection: how they reach the node.
        ending: whether there is no time left to find out anything.
    """

    def __init__(self, connection: Connection, ending: Callable[[], bool]) -> None:
        self._connection, self._ending = connection, ending
        self._suspected = 0  # how often on end the same batch was refused while the way was open

    def post(self, batch: Sequence[bytes]) -> BatchResult:
        """Send a batch; returns what became of it, never raises OSError."""
        result = self._send(batch)
        if not result.suspect_after or self._ending() or not self._is_open():
            self._suspected = 0
            return result
        self._suspected += 1
        if self._suspected < result.suspect_after:
            return result
        self._suspected = 0
        if result.suspect_after == 1:  # else it was refused after such a question already
            result = self._send(batch)
            if not result.suspect_after:
                return result
        return blamed(len(batch), result.code, f"refused on its way to the node: {result.why}")

    def _send(self, batch: Sequence[bytes]) -> BatchResult:
        try:
            answer = self._connection.post(_BATCH.body(batch))
        except OSError as error:
            # What takes too long is no refusal: a node that is slow today stores the same events tomorrow.
            cut = isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
            why = f"{type(error).__name__}: {error}"
            return unsettled(len(batch), why, suspect_after=LASTING if cut else 0, code="no_answer")
        return read_answer(answer, len(batch))

    def _is_open(self) -> bool:
        try:
            return takes_events(self._connection.post(_BATCH.body([])))
        except OSError:
            return False
