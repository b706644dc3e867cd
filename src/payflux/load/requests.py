"""Makes the requests of a load: each of distinct events, as cheaply as they can be made."""

import secrets
from itertools import count

from payflux.client.wire import SHAPES, Form, head_of


class Requests:
    """Makes requests, each of distinct events.

    Args:
        event: one event's JSON with `@` where its `event_id` belongs.
        host: for the Host header, with the port.
        key: the API key.
        size: events in a request.
        form: how they are sent; `single` for a size of 1.
    """

    def __init__(self, event: str, host: str, key: str, *, size: int, form: Form) -> None:
        one, two = secrets.token_hex(4), secrets.token_hex(3)
        before, after = event.split("@")
        self._before, self._after = f"{before}{one}-{two[:4]}-4{two[4:]}0-8000-".encode(), after.encode()
        shape = SHAPES[form]
        self._open, self._between, self._end = shape.before, shape.between, shape.after
        self.size, self.form = size, form
        each = len(self._before) + 12 + len(self._after)
        length = len(self._open) + size * each + (size - 1) * len(self._between) + len(self._end)
        self._head = b"%b%d\r\n\r\n" % (head_of(host, key, form), length)
        self._numbers = count(1)

    def next(self) -> bytes:
        """The next one."""
        before, after, numbers = self._before, self._after, self._numbers
        if self.form == "single":
            return b"%b%b%012x%b" % (self._head, before, next(numbers), after)
        events = [b"%b%012x%b" % (before, next(numbers), after) for _ in range(self.size)]
        return self._head + self._open + self._between.join(events) + self._end
