"""Every error PayFlux raises on purpose: one tree, with codes from a bounded set.

Two of them steer the flow of events: `InvalidEvent` (refuse or dead-letter it, never retry) and `StreamUnavailable`
(back off and keep it). Which HTTP status an error becomes is decided in `payflux.ingest.single` alone.
"""

from collections.abc import Sequence
from typing import NamedTuple


class FieldError(NamedTuple):
    """What is wrong with one member of an event.

    Attributes:
        field: the member's name, or an empty string for the event as a whole.
        code: the stable, machine-readable reason.
        message: the reason in words, naming the field; never holds the value.
    """

    field: str
    code: str
    message: str


class PayfluxError(Exception):
    """Root of the tree; `code` is stable and bounded, so that it can be a metric label."""

    code = "error"


class SettingsError(PayfluxError):
    """The configuration cannot be used; `problems` holds one line for each thing wrong with it."""

    code = "settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class InvalidEvent(PayfluxError):
    """The event can never be accepted: refuse it at the door, dead-letter it in the stream.

    `code` is the first field's code (`invalid_json` when it is no JSON object at all), `errors` names every bad field.
    """

    def __init__(self, code: str, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.code = code
        self.errors = tuple(errors)


class StreamUnavailable(PayfluxError):
    """Redis did not confirm: nothing is known to be stored, and the same event may be sent again.

    `code` says why, from a bounded set: `redis_down`, `redis_timeout`, `redis_readonly`, `redis_oom`,
    `redis_loading`, `redis_misconf`, `redis_wrong_type`, `redis_auth`, `redis_error`, `overloaded`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ConsumerNameTaken(PayfluxError):
    """Another living node consumes under this name."""

    code = "consumer_name_taken"


class ExportFailed(PayfluxError):
    """A destination did not take what it was given.

    `code` is the bounded reason (`write`, `closed`, `disk_full`, `flush`, `open`), `written` how many bytes it took.
    """

    def __init__(self, code: str, detail: str, written: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.written = written
