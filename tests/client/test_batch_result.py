"""The client's reading of answers: any answer settles an event or leaves it to be sent again."""

from hypothesis import given
from hypothesis import strategies as st

from payflux.client.batch_result import Refusal, read_answer
from payflux.client.wire import Answer


@given(st.binary(max_size=200), st.sampled_from([200, 202, 204, 301, 400, 401, 403, 408, 413, 422, 429, 500, 503]))
def test_any_answer_settles_or_leaves_every_event(body: bytes, status: int) -> None:
    """Whatever a server says, each event of the batch is in exactly one part of the result."""
    result = read_answer(Answer(status, 0.0, body), 3)
    assert result.accepted + result.duplicate + len(result.refused) + len(result.unsettled) == 3


REPORT = (
    b'{"accepted":1,"duplicates":1,"rejected":2,"results":['
    b'{"index":1,"status":"rejected","code":"invalid_event","errors":[{"field":"a","code":"b","message":"m"}]},'
    b'{"index":3,"status":"rejected","code":"redis_oom","errors":[]}]}'
)


def test_a_report_is_taken_apart() -> None:
    """Refused for what it is: for good, with the words; refused because Redis did not confirm: once more."""
    result = read_answer(Answer(200, 2.0, REPORT), 4)
    assert (result.accepted, result.duplicate, result.unsettled, result.why) == (1, 1, (3,), "redis_oom")
    assert result.refused == (Refusal(1, "invalid_event", ("m",)),)
    assert (result.wait, result.split) == (2.0, False)


def test_a_report_of_another_batch_settles_nothing() -> None:
    """Its sums have to be those of the batch that was sent."""
    assert read_answer(Answer(200, 0.0, REPORT), 5).unsettled == (0, 1, 2, 3, 4)
