"""The client's HTTP: any answer settles an event or leaves it to be sent again."""

from hypothesis import given
from hypothesis import strategies as st

from client_node import KEY, thread_node
from payflux.client import Client, Counts
from payflux.client.http import Answer, settle
from payflux.testing import make_event


def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """A node that closes idle connections is no outage: the next batch goes over a new one at once."""
    with thread_node() as node:
        client = Client(node.url, KEY)
        client.send(make_event())
        assert client.flush(10)
    with thread_node(port=int(node.url.rpartition(":")[2])) as again:
        client.send(make_event())
        assert client.flush(10)
        assert len(again.stored) == 1
        assert client.counts() == Counts(2, 0, 2, 0, {}, {}, 0, 0, 0)
        client.close()


@given(st.binary(max_size=200), st.sampled_from([200, 202, 204, 301, 400, 401, 403, 408, 413, 422, 429, 500, 503]))
def test_any_answer_settles_or_leaves_every_event(body: bytes, status: int) -> None:
    """Whatever a server says, each event of the batch is in exactly one part of the outcome."""
    outcome = settle(Answer(status, 0.0, body), 3)
    assert outcome.accepted + outcome.duplicate + len(outcome.refused) + len(outcome.unsettled) == 3
