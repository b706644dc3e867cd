"""Exporters with consumer groups of their own: which there are, which a node runs, and the settings all have."""

import ssl
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from payflux.exporters import Batch, GroupDestination, Tls
from payflux.risk.assessment import BANDS
from payflux.settings import Setting, Values, choice, imported, integer, optional, words

GROUPED = {
    "webhook": "payflux.exporters.webhook:DESTINATION",
    "parquet": "payflux.exporters.parquet:DESTINATION",
    "kafka": "payflux.exporters.kafka:DESTINATION",
}
"""The `GroupDestination` of every such exporter PayFlux brings, by the name it has in settings, metrics and answers."""

PREFIX = "payflux:"
"""How the names of the groups begin."""

OUTCOMES = ("success", "failure", "neutral")


def group_of(name: str) -> str:
    """The consumer group of an exporter."""
    return PREFIX + name


def _variable(name: str) -> str:
    """How the variables of an exporter begin: for a `module:Name` with the name alone."""
    return f"PAYFLUX_EXPORT_{name.rpartition(':')[2].upper()}_"


@lru_cache(maxsize=64)
def group_destination(name: str) -> GroupDestination:
    """Find a destination; its module is imported when it is asked for.

    Args:
        name: one of `GROUPED`, or the `module:Name` of a `GroupDestination`.

    Raises:
        ValueError: there is none; the text completes "expected …".
    """
    target = GROUPED.get(name, name)
    if ":" not in target:
        raise ValueError(f"some of {', '.join(GROUPED)}, or module:Name of an exporter of your own")
    found = imported(target, "an exporter")
    if not isinstance(found, GroupDestination):
        raise ValueError(f"a GroupDestination; {name} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return found


def _exporters(text: str) -> tuple[str, ...]:
    found = words(text)
    for name in found:
        group_destination(name)
    own = [name for name in found if name not in GROUPED]
    if len({_variable(name) for name in found}) < len(found) or {*map(_variable, own)} & {*map(_variable, GROUPED)}:
        raise ValueError("each name once, and none of PayFlux's for one of your own")
    return found


EXPORTERS = optional(
    "PAYFLUX_EXPORTERS",
    _exporters,
    f"Further exporters, each with a consumer group of its own, separated by commas: {', '.join(GROUPED)}, or "
    "module:Name of one of your own.",
)
EXPORT_FROM = Setting(
    "PAYFLUX_EXPORT_FROM",
    choice("newest", "oldest"),
    "newest",
    "Where a new exporter begins: with what comes from now on (newest), or with all that the stream holds (oldest).",
)


class Common(NamedTuple):
    """The settings every exporter with a group has, under its own name."""

    batch_events: Setting[int]
    batch_bytes: Setting[int]
    batch_sec: Setting[int]
    timeout_sec: Setting[int]
    backoff_sec: Setting[int]
    processors: Setting[tuple[str, ...] | None]
    event_types: Setting[tuple[str, ...] | None]
    outcomes: Setting[tuple[str, ...] | None]
    least_band: Setting[str | None]
    tls_ca: Setting[str | None]
    tls_cert: Setting[str | None]
    tls_key: Setting[str | None]


@lru_cache(maxsize=64)
def common(name: str) -> Common:
    """The settings of an exporter that all have."""
    batch, start = group_destination(name).batch, _variable(name)

    def number(end: str, low: int, high: int, default: int, meaning: str) -> Setting[int]:
        return Setting(start + end, integer(low, high), str(default), f"{name}: {meaning}")

    def pem(what: str, meaning: str) -> Setting[str | None]:
        return optional(start + what, str, f"{name}: {meaning}", look=_pem)

    return Common(
        number("BATCH_EVENTS", 1, 100_000, batch.events, "events delivered at once, at most."),
        number("BATCH_BYTES", 1024, 1 << 28, batch.bytes, "bytes of events delivered at once, about, at most."),
        number("BATCH_SEC", 0, 3600, batch.seconds, "seconds an event waits for others to be delivered with, at most."),
        number("TIMEOUT_SEC", 1, 600, 30, "seconds the destination has to confirm a delivery."),
        number("BACKOFF_SEC", 1, 3600, 60, "the longest wait between two tries while it does not, in seconds."),
        optional(f"{start}PROCESSORS", words, f"{name}: only events of these processors, separated by commas."),
        optional(f"{start}EVENT_TYPES", words, f"{name}: only events of these types, separated by commas."),
        optional(f"{start}OUTCOMES", _outcomes, f"{name}: only these outcomes: {', '.join(OUTCOMES)}."),
        optional(f"{start}LEAST_BAND", choice(*BANDS), f"{name}: only events of processors in this band or above."),
        pem("TLS_CA", "file of the authorities that vouch for the destination, in PEM."),
        pem("TLS_CERT", "file of the certificate that is shown to it, in PEM."),
        pem("TLS_KEY", "file of that certificate's key, in PEM."),
    )


def _pem(text: str) -> None:
    try:
        found = b"-----BEGIN " in Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"a file in PEM ({error.strerror})") from None
    if not found:
        raise ValueError("a file in PEM")


def _outcomes(text: str) -> tuple[str, ...]:
    found = words(text)
    if not set(found) <= set(OUTCOMES):
        raise ValueError(f"some of {', '.join(OUTCOMES)}")
    return found


def settings() -> tuple[Setting[Any], ...]:
    """Those of every exporter with a group that PayFlux brings."""
    return (EXPORTERS, EXPORT_FROM, *(one for name in GROUPED for one in _settings_of(name)))


def _settings_of(name: str) -> tuple[Setting[Any], ...]:
    return (*group_destination(name).settings, *common(name))


def further_settings(environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """Those that an environment tells of, of the exporters it names; none when it names them wrongly."""
    try:
        named = EXPORTERS.parse(environ.get(EXPORTERS.name, "").strip() or ",") or ()
    except ValueError:
        return ()
    own = (one for name in named if name not in GROUPED for one in _settings_of(name))
    return (*own, *(one for name in named for one in group_destination(name).further(environ)))


def running(values: Values) -> tuple[str, ...]:
    """The names of the exporters of a node."""
    return values[EXPORTERS] or ()


def batch_of(values: Values, name: str) -> Batch:
    """How much goes to a destination at once."""
    of = common(name)
    return Batch(values[of.batch_events], values[of.batch_bytes], values[of.batch_sec])


def tls_of(values: Values, name: str) -> Tls:
    """What secures the way to a destination."""
    of = common(name)
    return Tls(*(values[one] or "" for one in (of.tls_ca, of.tls_cert, of.tls_key)))


def problems_of(values: Values, name: str) -> Iterator[str]:
    """What is wrong with the settings of an exporter when it is to be used: a line for each problem."""
    kind, of, tls = group_destination(name), common(name), tls_of(values, name)
    yield from kind.refuse(values)
    if bool(tls.certificate) != bool(tls.key):
        yield f"{of.tls_cert.name} and {of.tls_key.name}: expected both or none"
    elif tls.certificate and not kind.shows_certificate:
        yield f"{of.tls_cert.name}: expected it to be unset, its library shows no certificates"
    elif why := _unusable(tls):
        yield f"{of.tls_ca.name}, {of.tls_cert.name}: expected certificates, and a key without a password ({why})"


def _unusable(tls: Tls) -> str:
    """Why certificates cannot be used; empty when they can."""
    try:
        context = ssl.create_default_context(cafile=tls.authorities or None)
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"")
    except OSError as error:
        return getattr(error, "reason", None) or str(error)
    return ""


def check_exporters(values: Values) -> Iterator[str]:
    """What is wrong with the exporters that are to run: a line for each problem."""
    for name in running(values):
        for problem in problems_of(values, name):
            yield f"{problem}, as {EXPORTERS.name} names {name}"
