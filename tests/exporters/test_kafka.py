"""Kafka: a record for each line, with key and headers, in order; a cluster inside librdkafka stands for the brokers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from broker import broker, kafka_answer, ready
from destinations import free_port
from gate import Trouble, gate
from needs import module
from payflux.errors import ExportFailed
from payflux.exporters import GroupOpening
from payflux.exporters.kafka import CONF, DESTINATION, KafkaExporter, further_settings, properties
from payflux.settings import Values, load
from payflux.testing import make_event

TOPIC = "payflux.events"


def line(number: int, **members: object) -> bytes:
    """The line of one event."""
    one = make_event() | {"processor_risk_band": "high", "seq": number} | members
    return json.dumps(one, separators=(",", ":")).encode() + b"\n"


class Cluster:
    """Brokers in this process, as long as they are held.

    Attributes:
        servers: their addresses.
    """

    def __init__(self) -> None:
        module("confluent_kafka")
        import confluent_kafka  # noqa: PLC0415 - not everywhere

        self._kafka = confluent_kafka
        self._held: Any = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
        brokers = self._held.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def records(self, count: int) -> list[Any]:
        """So many records of the topic, by partition and in order."""
        reader = self._kafka.Consumer({"bootstrap.servers": self.servers, "group.id": "test"})
        partitions = reader.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        reader.assign([self._kafka.TopicPartition(TOPIC, number, 0) for number in partitions])
        found: list[Any] = []
        while len(found) < count:
            found += reader.consume(count - len(found), timeout=10) or pytest.fail(f"only {len(found)} records")
        reader.close()
        return found

    def close(self) -> None:
        """They are gone."""
        self._held = None


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Brokers for all tests that do them no harm."""
    made = Cluster()
    yield made
    made.close()


def given(servers: str, **environ: str) -> Values:
    """The settings of an exporter, those that are handed on among them."""
    own = {"PAYFLUX_EXPORT_KAFKA_SERVERS": servers}
    own |= {f"PAYFLUX_EXPORT_KAFKA_{name}": text for name, text in environ.items()}
    return load((*DESTINATION.settings, *further_settings(own)), own)


def exporter(servers: str, timeout: float = 10.0, **environ: str) -> KafkaExporter:
    """One that produces there."""
    return KafkaExporter(GroupOpening(given(servers, **environ), "kafka", timeout, "one"))


def test_each_line_is_a_record_in_order_for_its_key(cluster: Cluster) -> None:
    """With what consumers drop repeated ones by and choose by in its headers, whatever is asked of the compression."""
    sending = exporter(cluster.servers, CONF_COMPRESSION_TYPE="zstd")
    lines = [line(number, processor=f"processor-{number % 5}") for number in range(500)]
    assert sending.deliver(lines[:300]) == {}
    assert sending.deliver(lines[300:]) == {}
    sending.close()
    records = cluster.records(len(lines))
    assert sorted(record.value() for record in records) == sorted(one[:-1] for one in lines)
    by_key: dict[bytes, list[int]] = {}
    for record in records:
        said = json.loads(record.value())
        by_key.setdefault(record.key(), []).append(said["seq"])
        assert record.key() == said["processor"].encode()
        assert dict(record.headers()) == {
            "event_id": said["event_id"].encode(),
            "schema_version": b"1",
            "risk_band": b"high",
        }
    assert len(by_key) == 5
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


def test_a_record_that_is_too_large_is_refused_alone(cluster: Cluster) -> None:
    """By its place, with what was said; the others arrive."""
    sending = exporter(cluster.servers, CONF_MESSAGE_MAX_BYTES="2000", TOPIC="small")
    refused = sending.deliver([line(1), line(2, note="x" * 3000), line(3)])
    assert list(refused) == [1]
    assert "too large" in refused[1]
    assert sending.deliver([line(4)]) == {}
    sending.close()


def test_brokers_that_are_not_there_are_a_failure() -> None:
    """Within the time they are given, with what went wrong; afterwards the same lines can be tried again."""
    module("confluent_kafka")
    sending = exporter("127.0.0.1:1", 1.0)
    for _ in range(2):
        with pytest.raises(ExportFailed) as caught:
            sending.deliver([line(1)])
        assert caught.value.code == "unreachable"
        assert "timed out" in str(caught.value)
    sending.close()


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [(29, "denied", "Topic authorization failed"), (89, "unreachable", "quota has been exceeded")],
)
def test_what_is_fatal_to_a_producer_is_told_and_the_next_try_succeeds(code: int, reason: str, words: str) -> None:
    """Not authorised, over the quota: with the broker's words; nothing is missing afterwards, and order holds."""
    port = free_port()
    with gate(port) as before, broker(port, f"127.0.0.1:{before.port}") as running:
        ready(running, TOPIC)
        sending = exporter(running.address, 5.0)
        lines = [line(number) for number in range(50)]
        assert sending.deliver(lines[:20]) == {}
        before.set(Trouble.ANSWERING, kafka_answer(code))
        with pytest.raises(ExportFailed, match=words) as caught:
            sending.deliver(lines[20:])
        assert caught.value.code == reason
        before.set(Trouble.NONE)
        assert sending.deliver(lines[20:]) == {}
        sending.close()
        found = [json.loads(record.value())["seq"] for record in running.records(TOPIC, len(lines))]
        assert list(dict.fromkeys(found)) == list(range(50))


def test_the_key_is_that_of_whose_order_is_wanted(cluster: Cluster) -> None:
    """A merchant's or an intent's; an event without one goes with its processor."""
    sending = exporter(cluster.servers, KEY="merchant", TOPIC="merchants")
    assert sending.deliver([line(1, merchant_id_hash="m1"), line(2, merchant_id_hash="", processor="adyen")]) == {}
    sending.close()
    with pytest.raises(ValueError, match="one of processor, merchant, intent"):
        DESTINATION.settings[2].parse("customer")


def test_properties_are_handed_on_and_unknown_ones_refused_by_name() -> None:
    """As librdkafka calls them; they are secrets, and may stand in files."""
    module("confluent_kafka")
    environ = {f"{CONF}SASL_PASSWORD_FILE": "/somewhere", f"{CONF}SASL_USERNAME": "us"}
    assert [(one.name, one.secret) for one in further_settings(environ)] == [
        (f"{CONF}SASL_PASSWORD", True),
        (f"{CONF}SASL_USERNAME", True),
    ]
    assert properties(given("a:1", CONF_SASL_USERNAME="us")) == {"sasl.username": "us"}
    assert list(DESTINATION.refuse(given("a:1", CONF_LINGER_MS="7"))) == []
    problems = list(DESTINATION.refuse(given("a:1", CONF_NO_SUCH="1", CONF_LINGER_MS="many")))
    assert [problem.partition(":")[0] for problem in problems] == [f"{CONF}LINGER_MS", f"{CONF}NO_SUCH"]
    assert "No such configuration property" in problems[1]
    assert next(iter(DESTINATION.refuse(load(DESTINATION.settings, {})))).startswith("PAYFLUX_EXPORT_KAFKA_SERVERS")
