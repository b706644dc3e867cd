"""`/export/health`: every destination of the mode, when it last took a line, and why it last did not."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from payflux.exporters.registry import EXPORTERS, MODES
from payflux.operations.export_health import ExportHealth
from payflux.telemetry.metrics import (
    EXPORT_LAST_ERROR,
    EXPORT_LAST_SUCCESS,
    EXPORT_REASONS,
    Metrics,
    create_slab,
    give_destinations,
)
from payflux.telemetry.notes import CONSUMER


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """The consumer's numbers."""
    slab = create_slab([CONSUMER])
    give_destinations(slab, [*EXPORTERS])
    yield Metrics(slab, CONSUMER)
    os.close(slab.fd)


async def export_health(metrics: Metrics | None, mode: str) -> dict[str, Any]:
    """The answer, read."""
    answer: dict[str, Any] = json.loads(await ExportHealth(mode, MODES[mode], metrics).text())
    assert list(answer) == ["enabled", "export_mode", "destinations"]
    assert answer["export_mode"] == mode
    return answer


@pytest.mark.parametrize(
    ("mode", "destinations"), [("stdout", ["stdout"]), ("file", ["file"]), ("both", ["stdout", "file"])]
)
async def test_export_health_has_every_destination_of_the_mode(
    metrics: Metrics, mode: str, destinations: list[str]
) -> None:
    """All members are there from the start, null while nothing happened."""
    answer = await export_health(metrics, mode)
    assert answer["enabled"] is True
    assert list(answer["destinations"]) == destinations
    for status in answer["destinations"].values():
        assert status == {
            "enabled": True,
            "last_success_ts": None,
            "last_success_rfc3339": None,
            "last_error_ts": None,
            "last_error_rfc3339": None,
            "last_error_reason": None,
        }


@pytest.mark.parametrize("reason", EXPORT_REASONS)
async def test_export_health_says_when_and_why(metrics: Metrics, reason: str) -> None:
    """Times are whole seconds of Unix time and RFC 3339 in UTC, each destination has its own."""
    stdout, file = map(metrics.destinations.index, ("stdout", "file"))
    metrics.set(EXPORT_LAST_SUCCESS, stdout, to=1767957855.6)
    metrics.set(EXPORT_LAST_ERROR, file, to=0.5)
    metrics.notes.destination(file).fail(list(EXPORT_REASONS).index(reason))
    found = (await export_health(metrics, "both"))["destinations"]
    assert found["stdout"]["last_success_ts"] == 1767957855
    assert found["stdout"]["last_success_rfc3339"] == "2026-01-09T11:24:15Z"
    assert found["stdout"]["last_error_reason"] is None
    assert (found["file"]["last_error_ts"], found["file"]["last_error_rfc3339"]) == (0, "1970-01-01T00:00:00Z")
    assert found["file"]["last_error_reason"] == reason
    assert found["file"]["last_success_ts"] is None


async def test_a_node_without_consumer_exports_nothing() -> None:
    """With `--role ingest` there are no destinations, and the answer says so."""
    answer = await export_health(None, "both")
    assert (answer["enabled"], answer["destinations"]) == (False, {})


async def test_without_exporters_nothing_is_exported(metrics: Metrics) -> None:
    """A node that only scores says so."""
    answer = await export_health(metrics, "none")
    assert (answer["enabled"], answer["destinations"]) == (False, {})
