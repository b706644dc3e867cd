"""One request to a receiver, and what its answer means."""

import time
from collections.abc import Callable

from payflux.alerts import Later, Refused, Request
from payflux.outgoing.patience import retry_after
from payflux.outgoing.post import Answer, NotSent, Place, post

GONE = 410
USER_AGENT = "payflux"


def send(request: Request, *, private: bool = True, now: Callable[[], float] = time.time) -> Answer:
    """Send once.

    Args:
        request: what to send where.
        private: addresses of private networks are allowed.
        now: Unix time.

    Returns:
        The answer, a success.

    Raises:
        Later: no answer, or one that may be another later (408, 425, 429, 5xx).
        Refused: any other answer; `stopped` when the address is gone for good (410).
    """
    try:
        answer = post(Place(request.url, private), request.body, {**request.headers, "User-Agent": USER_AGENT})
    except NotSent as error:
        if error.refused:
            raise Refused(str(error)) from None
        raise Later(str(error)) from None
    if answer.taken:
        return answer
    if answer.passing:
        raise Later(answer.told(), retry_after(answer.headers.get("retry-after"), now()))
    raise Refused(answer.told(), stopped=answer.status == GONE)
