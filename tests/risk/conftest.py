"""Watches that have learned what is normal: made once, and resumed from a snapshot for each test."""

from typing import Any

import msgspec
import pytest

from payflux.risk.judge import Limits
from payflux.risk.snapshot import restore, snapshot
from payflux.risk.watch import Watch
from risk_traffic import Memory, Traffic, learned_by


@pytest.fixture(scope="session")
def memory() -> Memory:
    """What two hours of five events a second have taught."""
    return Memory(msgspec.msgpack.encode(snapshot(learned_by(Traffic(5, seed=3)))))


@pytest.fixture
def kept(memory: Memory) -> dict[str, Any]:
    """The same, decoded."""
    data: dict[str, Any] = msgspec.msgpack.decode(memory.data)
    return data


@pytest.fixture
def watch(kept: dict[str, Any]) -> Watch:
    """A watch on a processor of five events a second that knows what is normal there."""
    return restore("stripe", Limits(), kept)
