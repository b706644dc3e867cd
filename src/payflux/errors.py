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

    `code` says why, from a bounded set: those of `REMEDIES`, `redis_error` for what else Redis says, `overloaded`.
    `key` names the key of ours it is about; empty where that is unknown, or it is about none.
    """

    def __init__(self, code: str, detail: str, key: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.key = key


REMEDIES = {
    "redis_down": "is it running, and do REDIS_ADDR or REDIS_URL name it? `payflux dev` prints its REDIS_URL",
    "redis_timeout": "Redis is there and does not answer: look at its load and at the network between",
    "redis_protocol": "what answers there is not Redis, or it wants TLS (rediss://): see REDIS_ADDR or REDIS_URL",
    "redis_tls": "is it a TLS port, its certificate for this host? An authority of your own: PAYFLUX_REDIS_CA=ca.pem",
    "redis_auth": "put the right user and password into REDIS_URL=redis://user:password@host:port, or REDIS_URL_FILE",
    "redis_forbidden": "give the user its rights: ACL SETUSER user ~events_stream* ~{events_stream}* +@all -@admin",
    "redis_protected": "Redis is in protected mode: give it a password (requirepass) and put it into REDIS_URL",
    "redis_database": "the number after the last / of REDIS_URL is no database of this Redis; leave it out for 0",
    "redis_sentinel": "this is a Sentinel: name the primary that SENTINEL GET-MASTER-ADDR-BY-NAME tells",
    "redis_cluster": "name the node of the Redis Cluster that serves the slot of events_stream (CLUSTER KEYSLOT)",
    "redis_loading": "Redis is busy, reading its data or running a script; try again in a moment",
    "redis_readonly": "this is a replica: point REDIS_ADDR or REDIS_URL at the primary",
    "redis_replicas": "Redis has fewer replicas at work than min-replicas-to-write asks for: mend them, or lower it",
    "redis_oom": "Redis is full: raise maxmemory, or let the consumer catch up",
    "redis_misconf": "Redis cannot write its data to disk; its log says why",
    "redis_wrong_type": "another program uses this key: RENAME it, or give PayFlux a database of its own in REDIS_URL",
    "redis_bad_value": "`payflux check --repair` shows what it would put in its place, and `--repair --yes` does",
    "redis_exhausted": "XDEL the entry with the highest id, then XSETID the stream to the newest id that is left",
}
"""What to do about StreamUnavailable, by its code; completes "…: "."""


class ConsumerNameTaken(PayfluxError):
    """Another living node consumes under this name."""

    code = "consumer_name_taken"


class ExportFailed(PayfluxError):
    """A destination did not take what it was given.

    `code` is the bounded reason (`write`, `closed`, `disk_full`, `flush`, `open`, …), `written` how many bytes it took,
    `wait` how many seconds it wants to be left alone, infinitely many when it wants nothing any more.
    """

    def __init__(self, code: str, detail: str, written: int = 0, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.code = code
        self.written = written
        self.wait = wait
