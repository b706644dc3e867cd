"""The paths of risk and incidents as `/openapi.json` describes them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from payflux.errors import REMEDIES
from payflux.http.messages import Response
from payflux.operations.describing import Json, ok, operation, problems
from payflux.operations.reads import CURSOR, LIMIT, MOST, UNKNOWN_INCIDENT, UNKNOWN_PROCESSOR, InvalidQuery, unread
from payflux.operations.relay import UNANSWERED
from payflux.operations.routes import NO_KEY
from payflux.operations.schemas import SLUG, record, ref
from payflux.risk.assessment import BANDS
from payflux.risk.drivers import DRIVERS, Driver
from payflux.risk.incidents.incident import SEVERITIES, Change, Incident
from payflux.risk.incidents.record import record_of

STAMP: Json = {"type": "string", "format": "date-time"}
TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
RATIO: Json = {"type": "number", "minimum": 0}
EXAMPLE_DRIVER = Driver(
    *("segment_degradation", "geo", "GB", 0.91, "critical", True),
    *(62, 100, 9.0, 1767967320, 16.5, 24.1),
)
EXAMPLE = Incident(
    id="stripe-1767967325-9e9531",
    processor="stripe",
    severity="critical",
    opened=1767967325,
    since=1767967320,
    counted_from=1767967320,
    updated=1767967620,
    dimension="geo",
    value="GB",
    peak=0.91,
    peak_at=1767967500,
    drivers=(EXAMPLE_DRIVER,),
    payments=310,
    value_at_risk={"GBP": 4_120_000},
    samples=("550e8400-e29b-41d4-a716-446655440000",),
)
MUTE = ("id", "processor", "driver", "dimension", "value", "why", "by")
FRESH = {"as_of": "2026-01-09T14:07:00Z", "stale": False}


def schemas() -> dict[str, Json]:
    """The schemas that have a name."""
    return {"Driver": _driver(), "Assessment": _assessment(), "Incident": _incident()}


def _driver() -> Json:
    schema: Json = msgspec.json.schema_components((Driver,))[1]["Driver"]
    members = schema["properties"] | {"since": STAMP, "name": {"enum": list(DRIVERS)}}
    return schema | {"properties": members, "description": "One reason for a score: observed against expected."}


def _assessment() -> Json:
    return record(
        "What is said of a processor: an early warning, never a guarantee.",
        processor={"type": "string", "pattern": SLUG, "maxLength": 40},
        score={"type": "number", "minimum": 0, "maximum": 1},
        band={"enum": list(BANDS)},
        since=STAMP | {"description": "It holds for later events, until the next one."},
        learned={"type": "boolean", "description": "It is known what is normal at this processor."},
        note=TEXT,
        drivers={"type": "array", "items": ref("Driver"), "description": "The first cause first."},
    )


def _incident() -> Json:
    said = record(
        "What somebody said of it.",
        ("throttled_at",),
        verdict={"enum": ["true", "false", "throttled"]},
        note=TEXT,
        at=STAMP,
        throttled_at=STAMP | {"description": "Since when the processor limited the rate, where it did."},
    )
    mute = record("A mute.", (), until=STAMP, **dict.fromkeys(MUTE, TEXT))
    return record(
        "One trouble, as it stands.",
        id=TEXT,
        processor=TEXT | {"description": "Whom it concerns; empty when it concerns all."},
        state={"enum": ["open", "resolved"]},
        severity={"enum": list(SEVERITIES)},
        driver={"enum": list(DRIVERS)},
        dimension=TEXT | {"description": "Of the worst segment; empty for all traffic."},
        value=TEXT,
        summary=TEXT,
        since=STAMP,
        opened=STAMP,
        updated=STAMP,
        resolved=STAMP | {"type": ["string", "null"]},
        peak={"type": "number", "minimum": 0, "maximum": 1},
        peak_at=STAMP,
        observed_ratio=RATIO,
        expected_ratio=RATIO,
        payments_affected=COUNT,
        value_at_risk={"type": "object", "additionalProperties": COUNT, "description": "Minor units by currency."},
        counted_from=STAMP,
        sample_event_ids={"type": "array", "items": TEXT, "maxItems": 5},
        drivers={"type": "array", "items": ref("Driver")},
        clears_when=TEXT,
        runbook=TEXT,
        note=TEXT,
        annotation={"anyOf": [said, {"type": "null"}]},
        mutes={"type": "array", "items": mute, "description": "Because of which nobody is told of it just now."},
    )


def example() -> Json:
    """An incident as it is answered."""
    told = record_of(Change("opened", EXAMPLE.updated, EXAMPLE), 300) | {"annotation": None, "mutes": []}
    return {name: value for name, value in told.items() if name not in {"kind", "change"}}


def read_paths(everywhere: Sequence[Response]) -> dict[str, Json]:
    """The paths, with the errors that every path has."""
    driver = msgspec.to_builtins(EXAMPLE_DRIVER) | {"since": "2026-01-09T14:02:00Z"}
    assessment = {"processor": "stripe", "score": 0.91, "band": "critical", "since": "2026-01-09T14:02:05Z"}
    assessment |= {"learned": True, "note": "", "drivers": [driver]}
    processors: Json = {"type": "array", "items": ref("Assessment"), "description": "By name."}
    found: Json = {"type": "array", "items": ref("Incident"), "description": "Newest first."}
    following: Json = {"type": ["string", "null"], "description": "The `cursor` of what comes after them."}
    own: Json = {"type": "array", "items": TEXT, "description": "The ids of its open incidents, newest first."}
    return {
        "/v1/risk": _path(
            *("risk", "The risk of every processor", everywhere),
            _fresh("Every processor that is followed.", {"processors": [assessment]}, processors=processors),
        ),
        "/v1/risk/{processor}": _path(
            *("riskOf", "The risk of one processor", [*everywhere, UNKNOWN_PROCESSOR]),
            ok(
                "What is said of it.",
                _with(ref("Assessment"), open_incidents=own),
                FRESH | assessment | {"open_incidents": []},
            ),
            [_parameter("processor", "Of which processor.", {"type": "string"}, place="path")],
        ),
        "/v1/incidents": _path(
            *("incidents", "Incidents, newest first", [*everywhere, InvalidQuery("limit", f"1 to {MOST}").response]),
            _fresh("A page of them.", {"incidents": [example()], "next": None}, incidents=found, next=following),
            _filters(),
        ),
        "/v1/incidents/{id}": _path(
            *("incident", "One incident as it stands", [*everywhere, UNKNOWN_INCIDENT]),
            ok("It.", _with(ref("Incident")), FRESH | example()),
            [_parameter("id", "Of which incident.", {"type": "string"}, place="path")],
        ),
    }


def _path(name: str, summary: str, errors: Sequence[Response], answer: Json, parameters: Sequence[Json] = ()) -> Json:
    about = (
        "From Redis, the same on every node; asking costs no rate. `as_of` is the time up to which it is, `stale` says "
        "that this is long ago. Takes an API key or one of `PAYFLUX_READ_KEYS`."
    )
    codes = [unread(code) for code in (*REMEDIES, "redis_error")]
    answers = problems(*errors, NO_KEY, UNANSWERED, *codes)
    unchanged = {"304": {"description": "What `If-None-Match` names is still so, its time aside."}}
    headers = {
        "ETag": {"required": True, "schema": {"type": "string"}},
        "Cache-Control": {"schema": {"type": "string"}},
    }
    told = {"200": answer["200"] | {"headers": headers}}
    tag = _parameter("If-None-Match", "The `ETag` of an earlier answer.", {"type": "string"}, place="header")
    responses = answers | unchanged | told
    return {"get": operation(name, summary, about, responses, parameters=[*parameters, tag], keyed=True)}


def _filters() -> list[Json]:
    return [
        _parameter("open", "`true`: only those that are open; `false`: only the others.", {"enum": ["true", "false"]}),
        _parameter("processor", "Only this processor's.", {"type": "string", "pattern": SLUG, "maxLength": 40}),
        _parameter("since", "Only what was open at or after this time, RFC 3339.", STAMP),
        _parameter(
            "limit", f"At most so many; {LIMIT} unless told.", {"type": "integer", "minimum": 1, "maximum": MOST}
        ),
        _parameter("cursor", "The `next` of an earlier answer.", {"type": "string", "pattern": f"^{CURSOR.pattern}$"}),
    ]


def _parameter(name: str, about: str, schema: Json, place: str = "query") -> Json:
    return {"name": name, "in": place, "required": place == "path", "description": about, "schema": schema}


def _fresh(about: str, example_: Json, **members: Json) -> Json:
    return ok(about, _with(_members(about, members)), FRESH | example_)


def _with(schema: Json, **members: Json) -> Json:
    """A schema with what every answer holds."""
    stale: dict[str, Any] = {"type": "boolean", "description": "It is older than 15 s."}
    return {"allOf": [schema, _members("When it was so.", {"as_of": STAMP, "stale": stale} | members)]}


def _members(about: str, members: Json) -> Json:
    return {"type": "object", "description": about, "properties": members, "required": list(members)}
