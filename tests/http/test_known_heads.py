"""Heads that were accepted before: what is learnt of them, and when a connection is not worth the trouble."""

from http_client import post
from payflux.http.known_heads import FUTILE_HEADS, MOST_HEADS, KnownHeads, Learner
from payflux.http.last_head import LastHead
from payflux.http.limits import Limits
from payflux.http.messages import Request


def request(length: int) -> Request:
    """A request whose head was read."""
    return Request("POST", "/x", "", {b"host": b"node"}, b"", length)


def test_the_head_of_exactly_one_request_is_learnt() -> None:
    """Not when more or less of a body came with it; and no more heads than there is room for."""
    known, data = KnownHeads(), post("/x", b"abc")
    known.learn(data + b"d", request(3))
    known.learn(data[:-1], request(3))
    assert len(known) == 0
    known.learn(data, request(3))
    found = known.find(data[:-3])
    assert found is not None
    assert (found.path, found.length, found.headers) == ("/x", 3, {b"host": b"node"})
    for number in range(MOST_HEADS):
        known.learn(post(f"/{number}", b"abc"), request(3))
    assert len(known) == 1
    assert known.find(data[:-3]) is None


def test_a_head_is_recalled_with_the_body_it_announced() -> None:
    """What was learnt on one connection is known on the next one."""
    known, data = KnownHeads(), post("/x", b"abc")
    one, two = Learner(known, LastHead(Limits())), Learner(known, LastHead(Limits()))
    assert one.recall(data, len(data) - 3) is None
    assert one.watch()
    one.see(request(3), usual=True)
    one.see(request(9), usual=True)  # a second one in the same read is not looked at
    one.learn(data, 4096)
    assert two.recall(data, len(data) - 3) is known.find(data[:-3])
    assert two.recall(data + b"d", len(data) - 3) is None


def test_what_is_not_usual_is_not_learnt() -> None:
    """Nor is a request that ends in a later read than it began."""
    known, data = KnownHeads(), post("/x", b"abc")
    one = Learner(known, LastHead(Limits()))
    assert one.watch()
    one.see(request(3), usual=False)
    one.learn(data, 4096)
    one.see(request(3), usual=True)
    one.learn(data, 4096)
    assert len(known) == 0


def test_a_connection_whose_heads_never_repeat_learns_no_more() -> None:
    """After so many new ones on end, whatever comes; one that is known before that begins the count again."""
    known, data = KnownHeads(), post("/x", b"abc")
    known.learn(data, request(3))
    one = Learner(known, LastHead(Limits()))
    for number in range(FUTILE_HEADS):
        assert one.recall(post(f"/{number}", b"abc"), 9) is None
        assert one.watch()
    assert one.recall(data, len(data) - 3) is not None
    for number in range(FUTILE_HEADS):
        assert one.recall(post(f"/{number}", b"abc"), 9) is None
        assert one.watch()
    assert one.recall(post("/y", b"abc"), 9) is None
    assert not one.watch()
    assert one.recall(data, len(data) - 3) is None
