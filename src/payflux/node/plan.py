"""What the processes of a node are told when they start, and the words supervisor and children have for each other."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

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

ALERTS = "alerts"
"""The name of the child that tells receivers of incidents."""

INGEST, EXPORT = "ingest-", "export-"
"""How the names of children begin that take events in, or are exporters with groups of their own."""

NONE: Mapping[str, int] = MappingProxyType({})

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
        alerts: it tells receivers of incidents.
        control: descriptor of the socket to the supervisor, anew for each process.
        exports: the exporter with a group of its own that it is; empty when it is none.
        exporters: of every such exporter of the node, by name, the descriptor of the memory with its numbers.
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
    alerts: bool = False
    control: int = -1
    exports: str = ""
    exporters: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def inherits(self) -> tuple[int, ...]:
        """The descriptors its process is given, `control` aside."""
        own = (self.slab, *self.exporters.values(), *self.listeners, *self.admin, self.stdout)
        return tuple(fd for fd in own if fd >= 0)


def children_of(role: Role, workers: int, exporters: Sequence[str] = (), *, alerts: bool = False) -> list[str]:
    """The names of a node's children.

    Args:
        role: of the node.
        workers: how many take events in, where it does.
        exporters: the names of those with groups of their own.
        alerts: there are receivers of incidents.
    """
    consumer = [CONSUMER] if role in {"all", "consume"} else []
    ingest = [f"{INGEST}{number}" for number in range(workers if role in {"all", "ingest"} else 0)]
    own = [*(EXPORT + name for name in exporters), *([ALERTS] if alerts else [])]
    return [*consumer, *ingest, *(own if role in {"all", "export"} else []), OPERATIONS]


def plans_of(
    children: Sequence[str],
    *,
    slab: int,
    listeners: Sequence[tuple[int, ...]],
    admin: Sequence[tuple[int, ...]],
    stdout: int,
    token: str,
    consumer: str,
    exporters: Mapping[str, int] = NONE,
    operations: tuple[int, int] = (-1, 0),
) -> Iterator[Plan]:
    """A plan for each child.

    Args:
        children: their names.
        slab: descriptor of the shared memory.
        listeners: descriptors of the listening sockets, in sets that are shared out among those that take events in; a
            node that takes none answers its operators on the first one, by its first child.
        admin: the same of the address for operators; none when there is no such address.
        stdout: descriptor of the node's stdout.
        token: what tells this node from every other one.
        consumer: name in the group.
        exporters: of every exporter with a group of its own, by name, the descriptor of the memory with its numbers.
        operations: descriptor and port of the socket on which the operations child answers the others.
    """
    workers = [name for name in children if name.startswith(INGEST)]
    for name in children:
        consumes, ingests, operates = name == CONSUMER, name in workers, name == OPERATIONS
        number = workers.index(name) if ingests else 0
        answers = ingests or (not workers and name == children[0] and not operates)
        yield Plan(
            child=name,
            slab=slab,
            listeners=operations[:1] if operates else listeners[number % len(listeners)] if answers else (),
            admin=admin[number % len(admin)] if answers and admin else (),
            stdout=stdout if consumes else -1,
            ingests=ingests,
            consumes=consumes,
            alerts=name == ALERTS,
            exports=name.removeprefix(EXPORT) if name.startswith(EXPORT) else "",
            exporters=dict(exporters),
            workers=len(workers),
            node_consumes=CONSUMER in children,
            token=token,
            consumer=consumer,
            operates=operates,
            operations=operations[1],
        )
