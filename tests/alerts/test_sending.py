import pytest

from payflux.alerts import Later, Refused, Request
from payflux.alerts.sending import send
from their_server import receiving


@pytest.mark.parametrize(
    ("status", "error"),
    [(301, Refused), (400, Refused), (401, Refused), (404, Refused), (408, Later), (429, Later), (502, Later)],
)
def test_what_a_status_means(status: int, error: type[Exception]) -> None:
    """What may be another later is tried again, and nothing else."""
    with receiving() as server:
        server.answers.append((status, {"Retry-After": "17"}, b""))
        with pytest.raises(error) as failed:
            send(Request(server.url, {}, b"x"))
        if isinstance(failed.value, Later):
            assert failed.value.after == 17.0


def test_nobody_there_is_tried_again() -> None:
    """A receiver that restarts."""
    with receiving() as server:
        url = server.url
    with pytest.raises(Later, match="refused"):
        send(Request(url, {}, b"x"))
