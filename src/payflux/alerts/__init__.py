"""Alerts: incidents told to the people on call, by one file a receiver.

A new one is one file that ends with its `Kind`, and one line in `payflux.alerts.registry`. Everything else follows from
the two: `payflux.alerts.delivery` decides what it still has to be told, and tries until it took it; settings, refusals,
`payflux check`, `payflux alerts` and the documentation read its `Kind`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from payflux.risk.incidents.incident import Incident
from payflux.settings import Setting, Values


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something a receiver is to be told.

    Attributes:
        kind: the incident `opened`, `worsened` or was `resolved`; it is still open (`still`); or it stands for those in
            `others`, which are too many to be told one by one (`summary`).
        incident: as it stands.
        runbook: address of the page that says what to do; empty when none is configured.
        memory: that of what the receiver last took of this incident; empty the first time.
        others: the incidents of a summary, the worst first; empty otherwise.
        test: nothing happened; the message must say so.
    """

    kind: Literal["opened", "worsened", "resolved", "still", "summary"]
    incident: Incident
    runbook: str = ""
    memory: str = ""
    others: tuple[Incident, ...] = ()
    test: bool = False


class Later(Exception):
    """The receiver did not take it now; `after`: how many seconds it asked us to wait."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Refused(Exception):
    """The receiver will never take this; `stopped`: nor anything else, until its settings are changed."""

    def __init__(self, reason: str, *, stopped: bool = False) -> None:
        super().__init__(reason)
        self.stopped = stopped


class Request(msgspec.Struct, frozen=True):
    """What would be sent: address, headers and body."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Taken(NamedTuple):
    """What a receiver took.

    Attributes:
        answered: what it answered, in a few words; for `payflux alerts test`.
        memory: what must be known to tell it more of this incident.
    """

    answered: str = ""
    memory: str = ""


class Receiver(Protocol):
    """One that is told. `send` is called from a thread, one notice at a time; an incident's notices in order."""

    def requests(self, notice: Notice) -> list[Request]:
        """What would be sent of a notice, without its signatures."""

    def send(self, notice: Notice) -> Taken:
        """Tell it, and wait until it has taken it.

        Raises:
            Later: try again.
            Refused: never try this again.
        """


def _nothing(_: Values) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Kind:
    """All that is known of a kind of receiver.

    Attributes:
        make: makes one, from the settings of the node.
        help: what it is, in half a sentence for the documentation.
        settings: those of its own.
        refuse: what is wrong with them when it is to be used; a line for each problem, naming variable and reason.
        every: seconds after which it is told again of what is still open; 0 for never.
        burst: so many incidents it is told one by one within a minute; the rest in a summary. 0 for all.
    """

    make: Callable[[Values], Receiver]
    help: str
    settings: tuple[Setting[Any], ...] = ()
    refuse: Callable[[Values], Iterable[str]] = _nothing
    every: float = 0.0
    burst: int = 0
