"""What the processes of a node are told when they start, and the words supervisor and children have for each other."""

from collections.abc import Iterator, Sequence

import msgspec

from payflux.settings import Role
from payflux.telemetry.notes import CONSUMER

GIVEN = "given"
"""The part of the shared memory with the settings as the supervisor read them: all processes of a node have the same
ones, whatever becomes of files with secrets."""

READY = b"r"
END = b"t"
REOPEN = b"h"

OPERATIONS = "operations"
"""The name of the child that builds what operators read."""

NAME_TAKEN = 3
"""Exit code of a child that cannot start: its consumer name is in use; replacing it would not help."""


class Plan(msgspec.Struct):
    """What the supervisor tells a child: who it is and which descriptors it was given.

    Attributes:
        child: its name, and that of its section in the slab.
        slab: descriptor of the shared memory.
        listeners: descriptors of its listening sockets; none: it answers nobody.
        admin: those of the address for operators, if that is another one.
        stdout: descriptor of the node's stdout; -1 for none.
        ingests: it takes events in.
        consumes: it is the consumer.
        workers: how many ingest processes the node has.
        node_consumes: the node has a consumer.
        token: what tells this node from every other one.
        consumer: name in the group.
        operates: it is the operations child, and its listeners are for the node's other children.
        operations: the port at 127.0.0.1 on which that child answers; 0 when there is none.
        control: descriptor of the socket to the supervisor, anew for each process.
    """

    child: str
    slab: int
    listeners: tuple[int, ...]
    admin: tuple[int, ...]
    stdout: int
    ingests: bool
    consumes: bool
    workers: int
    node_consumes: bool
    token: str
    consumer: str
    operates: bool = False
    operations: int = 0
    control: int = -1

    @property
    def inherits(self) -> tuple[int, ...]:
        """The descriptors its process is given, `control` aside."""
        return tuple(fd for fd in (self.slab, *self.listeners, *self.admin, self.stdout) if fd >= 0)


def children_of(role: Role, workers: int) -> list[str]:
    """The names of a node's children."""
    consumer = [CONSUMER] if role != "ingest" else []
    return [*consumer, *(f"ingest-{number}" for number in range(workers if role != "consume" else 0)), OPERATIONS]


def plans_of(
    children: Sequence[str],
    *,
    slab: int,
    listeners: Sequence[tuple[int, ...]],
    admin: Sequence[tuple[int, ...]],
    stdout: int,
    token: str,
    consumer: str,
    operations: tuple[int, int] = (-1, 0),
) -> Iterator[Plan]:
    """A plan for each child.

    Args:
        children: their names.
        slab: descriptor of the shared memory.
        listeners: descriptors of the listening sockets, in sets that are shared out among those that take events in; a
            node that only consumes answers its operators on the first one.
        admin: the same of the address for operators; none when there is no such address.
        stdout: descriptor of the node's stdout.
        token: what tells this node from every other one.
        consumer: name in the group.
        operations: descriptor and port of the socket on which the operations child answers the others.
    """
    workers = [name for name in children if name not in {CONSUMER, OPERATIONS}]
    for name in children:
        consumes, operates = name == CONSUMER, name == OPERATIONS
        number = workers.index(name) if name in workers else 0
        answers = name in workers or (consumes and not workers)
        yield Plan(
            child=name,
            slab=slab,
            listeners=operations[:1] if operates else listeners[number % len(listeners)] if answers else (),
            admin=admin[number % len(admin)] if answers and admin else (),
            stdout=stdout if consumes else -1,
            ingests=name in workers,
            consumes=consumes,
            workers=len(workers),
            node_consumes=CONSUMER in children,
            token=token,
            consumer=consumer,
            operates=operates,
            operations=operations[1],
        )
