"""Plans: who does what in a node, and which descriptors each is given."""

import msgspec
import pytest

from payflux.node.plan import Plan, children_of, plans_of
from payflux.settings import Role

SLAB, STDOUT = 10, 11


def plans(role: Role, workers: int, listeners: list[tuple[int, ...]], admin: int | None = None) -> dict[str, Plan]:
    """The plans of a node, by child."""
    children = children_of(role, workers)
    admins = [] if admin is None else [(admin,)]
    made = plans_of(
        children,
        slab=SLAB,
        listeners=listeners,
        admin=admins,
        stdout=STDOUT,
        token="t",
        consumer="c",
        operations=(50, 4000),
    )
    return {plan.child: plan for plan in made}


def test_a_whole_node_has_a_consumer_and_its_workers() -> None:
    """The consumer alone has stdout and takes no connections; the workers share out the sockets."""
    found = plans("all", 3, [(20, 30), (21, 31)])
    assert list(found) == ["consumer", "ingest-0", "ingest-1", "ingest-2", "operations"]
    assert [plan.listeners for plan in found.values()] == [(), (20, 30), (21, 31), (20, 30), (50,)]
    assert [plan.stdout for plan in found.values()] == [STDOUT, -1, -1, -1, -1]
    assert [plan.consumes for plan in found.values()] == [True, False, False, False, False]
    assert [plan.ingests for plan in found.values()] == [False, True, True, True, False]
    assert [plan.operates for plan in found.values()] == [False, False, False, False, True]
    assert {plan.operations for plan in found.values()} == {4000}
    assert {(plan.workers, plan.node_consumes, plan.token, plan.consumer) for plan in found.values()} == {
        (3, True, "t", "c")
    }
    assert found["consumer"].inherits == (SLAB, STDOUT)
    assert found["ingest-1"].inherits == (SLAB, 21, 31)


@pytest.mark.parametrize(
    ("role", "children"), [("ingest", ["ingest-0", "ingest-1"]), ("consume", ["consumer"])], ids=["ingest", "consume"]
)
def test_half_a_node_has_half_of_them(role: Role, children: list[str]) -> None:
    """Each half answers its operators; only the one that consumes says so."""
    found = plans(role, 2, [(20,)], admin=40)
    operations = found.pop("operations")
    assert (operations.listeners, operations.admin, operations.ingests, operations.consumes) == (
        (50,),
        (),
        False,
        False,
    )
    assert list(found) == children
    assert all((plan.listeners, plan.admin) == ((20,), (40,)) for plan in found.values())
    assert all(plan.node_consumes is (role == "consume") for plan in found.values())


def test_a_plan_arrives_as_it_was_sent() -> None:
    """It goes to the child as JSON."""
    for plan in plans("all", 1, [(20,)], admin=40).values():
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
