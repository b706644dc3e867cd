"""When nothing arrives it is said whether this node refuses what is sent, or nobody calls."""

from payflux.consume.succession.refusals import Refusals
from payflux.telemetry.metrics import INGEST_REJECTED, Metrics, create_slab

NOON = 1_767_960_000


def test_what_was_refused_since_is_told_with_its_answer() -> None:
    """By all workers of the node, the most frequent first; what was refused before does not count."""
    slab = create_slab(["ingest-0", "ingest-1", "consumer"])
    one, other = Metrics(slab, "ingest-0"), Metrics(slab, "ingest-1")
    refusals = Refusals(Metrics(slab, "consumer"))
    one.add(INGEST_REJECTED, "unauthorized", n=7)
    refusals.look(NOON)
    refusals.look(NOON + 1)
    assert refusals.since(NOON, nothing=True) == "nobody calls this node"
    assert refusals.since(NOON, nothing=False) == ""
    one.add(INGEST_REJECTED, "rate_limited", n=5)
    other.add(INGEST_REJECTED, "unauthorized", n=120)
    refusals.look(NOON + 2)
    one.add(INGEST_REJECTED, "invalid_event")
    told = "120 with 401 (no key or a wrong one), 5 with 429 (over the key's rate), 1 as invalid_event"
    for second in (NOON + 1, NOON - 9):
        assert refusals.since(second, nothing=True) == f"this node refuses what is sent: {told}"
    assert refusals.since(NOON + 2, nothing=False) == "this node refuses what is sent: 1 as invalid_event"


def test_a_node_that_only_consumes_says_so() -> None:
    """Its counters know nothing of the others'."""
    refusals = Refusals(Metrics(create_slab(["consumer"]), "consumer"))
    assert refusals.since(NOON, nothing=True) == "this node takes nothing in: see what the others refuse"
