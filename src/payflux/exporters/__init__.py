"""Exporters: what one is, and what PayFlux has to know of it.

A new one is one file that ends with its `Destination`, and one line in `payflux.exporters.registry`. Everything else
follows from the two: `payflux.exporters.fanout` gives it a queue, a thread, metrics and health; settings, refusals,
`payflux check`, OpenAPI and the documentation read its `Destination`.

One that has a consumer group of its own ends with its `GroupDestination` instead, and stands in
`payflux.exporters.grouped`; `payflux.exporters.delivery` gives it thread, patience, metrics and health.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from payflux.finding import Finding
from payflux.settings import Setting, Values

STDOUT = 1


class Exporter(Protocol):
    """One destination. Called from a thread of its own, so it may block; only its own thread calls it."""

    def write(self, data: bytes) -> None:
        """Write whole lines, all of them.

        Raises:
            ExportFailed: not all of it was taken; `written` says how many bytes were.
        """

    def sync(self) -> None:
        """Make durable what was written; raises ExportFailed when that is not certain."""

    def reopen(self) -> bool:
        """SIGHUP: close and open again; whether there was anything to reopen. Raises ExportFailed when that fails."""

    def close(self) -> None:
        """The node ends."""


class Exported(msgspec.Struct, frozen=True, gc=False):
    """A line that stands at its destination.

    Attributes:
        stream_message_id: the id of its entry in the stream.
        seq: its number.
    """

    stream_message_id: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}-[0-9]{1,20}$")]
    seq: int

    @property
    def key(self) -> tuple[int, int]:
        """Its entry's id as it is ordered."""
        milliseconds, _, counter = self.stream_message_id.partition("-")
        return int(milliseconds), int(counter)


@runtime_checkable
class Recalling(Protocol):
    """An exporter whose destination can be read, so that after a kill only what is truly missing counts as lost."""

    def recall(self, lines: int) -> Iterable[Exported]:
        """The newest lines at the destination, newest first, so many at most; to be asked before the first write."""


@dataclass(frozen=True)
class Opening:
    """What an exporter is made of.

    Attributes:
        values: the settings of the node, those of the exporter among them.
        stdout: descriptor of the node's stdout.
        torn: a former process of this node died while it wrote to this destination.
    """

    values: Values
    stdout: int = STDOUT
    torn: bool = False


def _nothing(_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Destination:
    """All that is known of a kind of destination.

    Attributes:
        make: makes its exporter. It opens nothing yet: a standby consumer must not touch what another one writes to.
        help: what it is, in half a sentence for the documentation.
        settings: those of its own.
        refuse: what is wrong with them when it is to be used; a line for each problem, naming variable and reason.
        look: what `payflux check` finds out about it without leaving a trace.
        confirms: its `sync` proves that lines are safe, so that events can be acked after it.
    """

    make: Callable[[Opening], Exporter]
    help: str
    settings: tuple[Setting[Any], ...] = ()
    refuse: Callable[[Values], Iterable[str]] = _nothing
    look: Callable[[Values], Iterable[Finding]] = _nothing
    confirms: bool = False


class GroupExporter(Protocol):
    """A destination for which events are consumed by a group of its own, and acked when it has confirmed them.

    Called from a thread of its own, so it may block; only its own thread calls it.
    """

    def deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Hand lines over, and wait until the destination has confirmed each, or has refused it for good.

        Args:
            lines: in stream order, at least one, each with its newline; perhaps some that were handed over before.

        Returns:
            Why lines were refused for good, by their places.

        Raises:
            ExportFailed: not all were confirmed; the same lines come again, after `wait` seconds at least.
        """

    def close(self) -> None:
        """The node ends."""


def entry_of(line: bytes) -> bytes:
    """The id of the entry a line was made of."""
    _, _, rest = line.rpartition(b'"stream_message_id":"')
    return rest[: rest.index(b'"')]


class Batch(NamedTuple):
    """How many events go to a destination at once: whatever is reached first ends a batch.

    Attributes:
        events: so many.
        bytes: so many of stored events.
        seconds: so long after the first of them; 0: what is there goes at once.
    """

    events: int
    bytes: int
    seconds: int


class Tls(NamedTuple):
    """What secures the way to a destination: files in PEM, empty where there is none.

    Attributes:
        authorities: certificates of those who vouch for the destination.
        certificate: what PayFlux shows to it.
        key: of this certificate.
    """

    authorities: str = ""
    certificate: str = ""
    key: str = ""


SYSTEMS = Tls()
"""Those of the system, and none of PayFlux's."""


@dataclass(frozen=True)
class GroupOpening:
    """What an exporter with a group of its own is made of.

    Attributes:
        values: the settings of the node, those of the exporter among them.
        name: of the exporter, in lower case.
        timeout: seconds a destination is given to confirm.
        consumer: name in the group.
        tls: certificates, where the way is secured by others than those of the system.
        filter: which lines it is given, as `payflux.exporters.choosing.Choice.text` says it; empty for all.
    """

    values: Values
    name: str
    timeout: float
    consumer: str = ""
    tls: Tls = SYSTEMS
    filter: str = ""


@dataclass(frozen=True)
class GroupDestination:
    """All that is known of a kind of destination that has a consumer group of its own.

    Attributes:
        make: makes its exporter. It opens nothing yet: a standby consumer must not touch what another one writes to.
        help: what it is, in half a sentence for the documentation.
        batch: how many events go at once, unless the settings say otherwise.
        settings: those of its own.
        further: settings of its own whose names the environment tells.
        refuse: what is wrong with them when it is to be used; a line for each problem, naming variable and reason.
        look: what `payflux check` finds out about it without leaving a trace.
        shows_certificate: it can show a certificate of PayFlux's to its destination.
    """

    make: Callable[[GroupOpening], GroupExporter]
    help: str
    batch: Batch
    settings: tuple[Setting[Any], ...] = ()
    further: Callable[[Mapping[str, str]], tuple[Setting[Any], ...]] = _nothing
    refuse: Callable[[Values], Iterable[str]] = _nothing
    look: Callable[[Values], Iterable[Finding]] = _nothing
    shows_certificate: bool = True
