"""One request on a connection and the answer it waits for."""

from typing import Protocol

from payflux.http.messages import Request, Response

LARGE_BYTES = 16384
"""Answers from this size on are written at once, so that a client that does not read is noticed between requests."""


class Flushing(Protocol):
    """What an exchange needs of its connection.

    Attributes:
        parsing: answers given now are written when the read has been dealt with.
    """

    parsing: bool

    def flush(self) -> None:
        """Write every answer whose turn has come."""


class Exchange:
    """One request and the answer it waits for."""

    __slots__ = ("connection", "request", "response", "tail")

    def __init__(self, connection: Flushing, request: Request, tail: int) -> None:
        self.connection = connection
        self.request = request
        self.tail = tail
        self.response: Response | None = None

    def respond(self, response: Response) -> None:
        """Answer it; a second answer is ignored, and one whose client has gone."""
        if self.response is None:
            self.response = response
            if not self.connection.parsing or len(response.body) >= LARGE_BYTES:
                self.connection.flush()
