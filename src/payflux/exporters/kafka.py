"""Export to Kafka, or whatever speaks its protocol: a record for each event, in order for each key."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import msgspec

from payflux.errors import ExportFailed
from payflux.exporters import Batch, GroupDestination, GroupOpening, Tls
from payflux.settings import FILE, Setting, Values, choice, optional, words

CONF = "PAYFLUX_EXPORT_KAFKA_CONF_"
"""How variables begin that are handed on: `…_SASL_USERNAME` becomes `sasl.username`."""

KEYS = {"processor": "processor", "merchant": "merchant_id_hash", "intent": "payment_intent_id_hash"}
USUAL = {"enable.idempotence": "true", "enable.gapless.guarantee": "true", "acks": "all", "compression.type": "lz4"}
DENIED = {
    *("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    *("SASL_AUTHENTICATION_FAILED", "_AUTHENTICATION", "_SSL", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"),
    "TOPIC_EXCEPTION",
}
OF_THE_RECORD = {"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"}
"""Errors that say something of a record, and not of the broker."""

Failure = tuple[str, str]
"""Code and words."""

VERSION = ("schema_version", b"1")

SERVERS = optional(
    "PAYFLUX_EXPORT_KAFKA_SERVERS",
    words,
    "Brokers to begin with, host:port, separated by commas; required for `kafka`.",
)
TOPIC = Setting("PAYFLUX_EXPORT_KAFKA_TOPIC", str, "payflux.events", "The topic that records go to.")
KEY = Setting(
    "PAYFLUX_EXPORT_KAFKA_KEY",
    choice(*KEYS),
    "processor",
    "Whose events keep their order, being in one partition: those of a processor, a merchant or a payment intent; an "
    "event without one goes with its processor.",
)


class _Seen(msgspec.Struct, gc=False):
    """The members of a line that a record's key and headers are made of."""

    event_id: str
    processor: str
    merchant_id_hash: str
    payment_intent_id_hash: str
    band: str = msgspec.field(name="processor_risk_band", default="")


_see = msgspec.json.Decoder(_Seen).decode


class KafkaExporter:
    """Produces records, a batch at a time.

    A producer that failed is given up, and the next try begins with a new one; the brokers then take a batch again as
    they took it before, in its order.

    Args:
        opening: the node's settings.
    """

    def __init__(self, opening: GroupOpening) -> None:
        values = opening.values
        self._topic, self._member = values[TOPIC], KEYS[values[KEY]]
        servers, self._timeout = values[SERVERS], opening.timeout
        self._config: dict[str, Any] = {
            **USUAL,
            "client.id": f"payflux-{opening.consumer}",
            "bootstrap.servers": ",".join(servers or ()),
            "linger.ms": "5",
            "delivery.report.only.error": True,
            "message.timeout.ms": f"{opening.timeout * 1000:.0f}",
            **_secured(opening.tls, properties(values)),
            **properties(values),
        }
        self._producer: Any = None
        self._trouble: Failure = ("", "")

    def deliver(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Produce lines; see GroupExporter. What is refused for good is found by sending one by one."""
        failed = self._send(lines, range(len(lines)))
        if not any(code in OF_THE_RECORD for code, _ in failed.values()):
            self._raise_first(failed)
            return {}
        refused = {}
        for place in sorted(failed):
            alone = self._send(lines, [place])
            code, said = alone.get(place, ("", ""))
            if code in OF_THE_RECORD:
                refused[place] = said
            else:
                self._raise_first(alone)
        return refused

    def _send(self, lines: Sequence[bytes], places: Sequence[int]) -> dict[int, Failure]:
        """Produce some of the lines and wait; by place what became of those that were not taken: code and words."""
        heard: dict[bytes, Failure] = {}
        values = [lines[place][:-1] for place in places]
        unheard = self._produce(values, heard)
        missing = ("_TIMED_OUT", unheard)
        sent = zip(places, values, strict=True)
        failed = {place: heard.get(value, missing) for place, value in sent if unheard or value in heard}
        if failed:
            self.close()
        return failed

    def _produce(self, values: Iterable[bytes], heard: dict[bytes, Failure]) -> str:
        """Produce records and wait for all reports, of failures; why some are missing, if they are."""

        def report(error: Any, message: Any) -> None:
            if error is not None:
                heard[message.value()] = str(error.name()), str(error.str())

        producer, topic, member = self._connected(), self._topic, self._member
        produce, kafka = producer.produce, import_module("confluent_kafka")
        for value in values:
            seen = _see(value)
            key = getattr(seen, member) or seen.processor
            headers = [("event_id", seen.event_id), VERSION, ("risk_band", seen.band)]
            try:
                try:
                    produce(topic, value, key, headers=headers, on_delivery=report)
                except BufferError:
                    _flush(producer, self._timeout)
                    produce(topic, value, key, headers=headers, on_delivery=report)
            except (kafka.KafkaException, BufferError) as error:
                heard[value] = _said(error)
        return _flush(producer, self._timeout + 5)

    def _connected(self) -> Any:
        if self._producer is None:
            self._trouble = ("", "")
            kafka = import_module("confluent_kafka")
            self._producer = kafka.Producer({**self._config, "error_cb": self._hear}, logger=_silent())
        return self._producer

    def _hear(self, error: Any) -> None:
        """What is said of the brokers; that all of them are down follows from what was said before."""
        if self._trouble[0] not in DENIED:
            self._trouble = str(error.name()), str(error.str())

    def _raise_first(self, failed: Mapping[int, Failure]) -> None:
        if failed:
            code, said = next((one for one in failed.values() if one[0] in DENIED), failed[min(failed)])
            cause, words = self._trouble
            denied = code in DENIED or cause in DENIED
            raise ExportFailed("denied" if denied else "unreachable", f"{said} ({words})" if words else said)

    def close(self) -> None:
        """Give up the producer, and what is in its queue."""
        if self._producer is not None:
            self._producer.purge()
            _flush(self._producer, 0.1)
        self._producer = None


def _flush(producer: Any, seconds: float) -> str:
    """Wait for all reports; why some are missing, if they are."""
    kafka = import_module("confluent_kafka")
    try:
        return "no report in time" if producer.flush(seconds) else ""
    except (kafka.KafkaException, SystemError) as error:
        # What is fatal to a producer its library raises wherever it is called next; amid a report it is the cause.
        found = (error.__cause__ or error).args[0]
        return str(found.str() if isinstance(found, kafka.KafkaError) else found)


def _said(error: Exception) -> Failure:
    """What is said of a record that its library does not even take."""
    first = error.args[0]
    return (str(first.name()), str(first.str())) if hasattr(first, "str") else ("_QUEUE_FULL", str(first))


def _silent() -> logging.Logger:
    """A logger for a library that would write to stderr, where logs are JSON: what matters is raised."""
    logger = logging.Logger("payflux.kafka")  # noqa: LOG001 - none of the tree of loggers, which has handlers
    logger.addHandler(logging.NullHandler())
    return logger


def further_settings(environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """A setting for every property that is handed on."""
    names = {name.removesuffix(FILE) for name in environ if name.startswith(CONF)}
    return tuple(optional(name, str, "Handed on to librdkafka.", secret=True) for name in sorted(names))


def properties(values: Values) -> dict[str, str]:
    """The properties that are handed on, as librdkafka calls them."""
    given = values.given()
    return {name.removeprefix(CONF).lower().replace("_", "."): text for name, text in given.items() if _is_conf(name)}


def _secured(tls: Tls, given: Mapping[str, str]) -> dict[str, str]:
    """The properties that certificates stand for."""
    if not any(tls):
        return {}
    sasl = any(name.startswith("sasl.") for name in given)
    found = {
        "ssl.ca.location": tls.authorities,
        "ssl.certificate.location": tls.certificate,
        "ssl.key.location": tls.key,
    }
    return {"security.protocol": "sasl_ssl" if sasl else "ssl", **{name: file for name, file in found.items() if file}}


def _is_conf(name: str) -> bool:
    return name.startswith(CONF) and name != CONF


def _refuse(values: Values) -> Iterator[str]:
    if values[SERVERS] is None:
        yield f"{SERVERS.name}: expected brokers, host:port"
    if find_spec("confluent_kafka") is None:
        yield "payflux[kafka]: expected it to be installed (confluent_kafka cannot be imported)"
        return
    kafka = import_module("confluent_kafka")
    for name, text in sorted(properties(values).items()):
        try:
            kafka.Producer({name: text}, logger=_silent())  # without brokers it connects to nobody
        except (kafka.KafkaException, TypeError) as error:
            said = error.args[0].str() if isinstance(error, kafka.KafkaException) else str(error)
            yield f"{CONF}{name.upper().replace('.', '_')}: expected what librdkafka takes ({said})"


DESTINATION = GroupDestination(
    KafkaExporter,
    "records of Kafka, or of what speaks its protocol (`payflux[kafka]`)",
    batch=Batch(2000, 2_097_152, 0),
    settings=(SERVERS, TOPIC, KEY),
    further=further_settings,
    refuse=_refuse,
)
