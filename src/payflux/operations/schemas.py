"""The JSON Schemas of what goes in and out, from the declarations that decide about it.

They say all of the rules a schema can say. Four it cannot: that no member may come twice, that a timestamp lies in the
years 1 to 9999 in UTC too, that half a surrogate pair is no character, and that nothing may look like a card number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from payflux.event.decode import ADDITIVE_FIELDS, CODES, EVENT_FIELDS, PaymentEvent
from payflux.event.rules import REQUIRED
from payflux.exporters.grouped import GROUPED
from payflux.exporters.registry import EXPORTERS, MODES
from payflux.operations.checkout import EMAIL, EMAIL_LIMIT
from payflux.telemetry.metrics import EXPORT_REASONS

Schema = dict[str, Any]

# Regular expressions that mean the same to ECMA 262 and to Python, `$` before a last line feed aside.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_BLANK = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
TEXT = rf"^[^{_CONTROL}]*$"
NOT_BLANK = rf"^[^{_CONTROL}]*[^{_CONTROL}{_BLANK}][^{_CONTROL}]*$"
_UNSET = "(?!0{8}(?:-0{4}){3}-0{12}|[Ff]{8}(?:-[Ff]{4}){3}-[Ff]{12})"
UUID = f"^{_UNSET}[0-9A-Fa-f]{{8}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}$"
CANONICAL_UUID = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
SLUG = "^[a-z0-9][a-z0-9_-]{0,39}$"
_FOURTH = "(?:0[48]|[2468][048]|[13579][26])"  # the years of a century that are leap years, its first aside
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rf"|(?:[0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIMESTAMP = rf"^{_DATE}[Tt]{_CLOCK}(?::[0-5][0-9](?:\.[0-9]+)?)?(?:[Zz]|[+-]{_CLOCK})$"
OWN = "^[^:]+:[^:]+$"
_FORMS: dict[str, Schema] = {
    "event_type": {"pattern": NOT_BLANK},
    "event_timestamp": {"pattern": TIMESTAMP},
    "event_id": {"pattern": UUID},
    "processor": {"pattern": SLUG, "maxLength": 40},
    "initiator": {"type": "string", "enum": ["cit", "mit"]},
}

MEANINGS = {
    "event_type": "What happened, `payment_failed` for one. `test` and `canary` are exported and never scored.",
    "event_timestamp": "When it happened: RFC 3339 with an offset; stored in UTC.",
    "event_id": "A UUID that is set, the same when the event is sent again; stored in lower case.",
    "merchant_id_hash": "Hash of the merchant's id.",
    "payment_intent_id_hash": "Hash of the payment's id.",
    "processor": "Slug of the payment processor, any.",
    "failure_category": "Why it failed, in a word; `processor_timeout` for one.",
    "retry_count": "How many attempts came before this one.",
    "geo_bucket": "Where the payment came from, coarsely; `US` for one.",
    "amount_bucket": "The amount, coarsely; `50-200` for one.",
    "system_source": "The system that sent the event.",
    "payment_method_bucket": "The kind of payment method; `credit_card` for one.",
    "channel": "The sales channel; `web` for one.",
    "retry_result": "What the retry came to; `succeeded` and `failed` among others decide the outcome.",
    "failure_origin": "Who caused the failure; `processor` or `issuer` for two.",
    "payment_method_fingerprint_hash": "Hash of what identifies the card or account across payments.",
    "card_network": "The card network; `visa` for one.",
    "network_response_code": "The network's response code as received.",
    "network_advice_code": "The network's advice on retrying as received.",
    "currency": "The currency; ISO 4217 is best.",
    "amount_minor": "The amount in minor units of the currency.",
    "initiator": "Who began the payment: the cardholder (`cit`) or the merchant (`mit`).",
    "latency_ms": "How long the processor took, in milliseconds.",
    "issuer_country": "The issuer's country; ISO 3166 is best.",
    "processor_event_id": "The processor's own id of the event.",
}
"""What each member of an event means."""


def payment_event() -> Schema:
    """The schema of an event: types, lengths, ranges and defaults of the type that decodes it, and its patterns."""
    schema: Schema = msgspec.json.schema_components((PaymentEvent,))[1]["PaymentEvent"]
    members = schema["properties"]
    for name in EVENT_FIELDS + ADDITIVE_FIELDS:
        if members[name].get("type") == "string":
            members[name]["pattern"] = TEXT
        members[name] |= _FORMS.get(name, {}) | {"description": MEANINGS[name]}
        if name not in REQUIRED:
            members[name] = _or_null(members[name])
    schema["description"] = (
        "A payment event, schema `payment_exhaust` version 1. Unknown members are ignored and never stored. Send "
        "successes too, or the failure rate is always 1. A member that is null counts as not sent. "
        "No member may come twice, and no value may look like a card number or card track data."
    )
    return schema


def _or_null(schema: Schema) -> Schema:
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return schema | {"type": [schema["type"], "null"]} | choices


def schemas() -> dict[str, Schema]:
    """Every schema that has a name."""
    return {
        "PaymentEvent": payment_event(),
        "Stored": record("The event is stored.", status={"enum": ["accepted", "duplicate"]}),
        **_problem(),
        "BatchResult": _batch_result(),
        "BatchReport": record(
            "What became of each item of a batch.",
            accepted=_count("Stored now."),
            duplicates=_count("Stored before."),
            rejected=_count("Not stored."),
            results={"type": "array", "items": ref("BatchResult"), "description": "In the order of the items."},
        ),
        "CheckoutRequest": record(
            "For whom the session is. Unknown members are ignored.",
            optional=("email",),
            email={"type": "string", "maxLength": EMAIL_LIMIT, "pattern": f"^{EMAIL}$"},
        ),
        "ExportHealth": _export_health(),
        "Destination": _destination(),
    }


def _problem() -> dict[str, Schema]:
    return {
        "FieldError": record(
            "What is wrong with one member.",
            field={"type": "string", "description": "The member; empty for the event or body as a whole."},
            code={"enum": [*CODES, "invalid_email"], "description": "\n".join(_meanings(CODES))},
            message={"type": "string"},
        ),
        "Problem": record(
            "An error, as RFC 9457 has them; `code` is stable.",
            optional=("errors",),
            type={"const": "about:blank"},
            title={"type": "string"},
            status={"type": "integer"},
            code={"type": "string"},
            detail={"type": "string"},
            errors={"type": "array", "items": ref("FieldError"), "minItems": 1},
        ),
    }


def _batch_result() -> Schema:
    schema = record(
        "What became of one item.",
        optional=("code", "errors"),
        index=_count("The item's place, from 0."),
        event_id={
            "type": ["string", "null"],
            "pattern": CANONICAL_UUID,
            "description": "Null when the item has none that is valid.",
        },
        status={"enum": ["accepted", "duplicate", "rejected"]},
        code={"type": "string", "description": "Why it was rejected: as a single event's code."},
        errors={"type": "array", "items": ref("FieldError")},
    )
    rejected = {"properties": {"status": {"const": "rejected"}}}
    return schema | {"if": rejected, "then": {"required": ["code", "errors"]}}


def _export_health() -> Schema:
    modes = [{"enum": [*MODES]}, {"type": "string", "pattern": OWN, "description": "An exporter of one's own."}]
    return record(
        "How the destinations of the export do.",
        enabled={"type": "boolean", "description": "This node exports."},
        export_mode={"anyOf": modes},
        destinations={
            "type": "object",
            "properties": {name: ref("Destination") for name in (*EXPORTERS, *GROUPED)},
            "patternProperties": {OWN: ref("Destination")},
            "additionalProperties": False,
        },
    )


def _destination() -> Schema:
    stamp: Schema = {"type": ["integer", "null"], "description": "Unix time in seconds."}
    text: Schema = {"type": ["string", "null"], "format": "date-time"}
    return record(
        "How one destination does.",
        enabled={"type": "boolean"},
        last_success_ts=stamp,
        last_success_rfc3339=text,
        last_error_ts=stamp,
        last_error_rfc3339=text,
        last_error_reason={"enum": [*EXPORT_REASONS, None], "description": "\n".join(_meanings(EXPORT_REASONS))},
    )


def record(description: str, optional: Sequence[str] = (), **members: Schema) -> Schema:
    """The schema of an object, whose members are required unless named in `optional`."""
    required = [name for name in members if name not in optional]
    schema = {"type": "object", "description": description, "properties": members, "required": required}
    return schema if required else {name: value for name, value in schema.items() if name != "required"}


def ref(name: str) -> Schema:
    """A reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def _meanings(codes: Mapping[str, str]) -> list[str]:
    return [f"- `{code}`: {meaning}" for code, meaning in codes.items()]
