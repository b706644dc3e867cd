"""What `/openapi.json` says of risk and incidents is what is answered."""

from typing import Any

import jsonschema_rs
import pytest

from incident_records import change
from payflux.operations import openapi
from payflux.operations.read_paths import EXAMPLE, example
from payflux.operations.reads import PARAMETERS, READ_PATHS
from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.record import record_of


def document() -> Any:
    """Of these paths."""
    return openapi.document(READ_PATHS)


def test_every_parameter_is_described() -> None:
    """Those of the query, and no others."""
    told = document()["paths"]["/v1/incidents"]["get"]["parameters"]
    assert [one["name"] for one in told if one["in"] == "query"] == list(PARAMETERS)


@pytest.mark.parametrize("told", [change("resolved"), Change("opened", 1, EXAMPLE)])
def test_a_record_has_the_members_that_are_described(told: Change) -> None:
    """All of them, of the types that are told."""
    found = {k: v for k, v in record_of(told, 300).items() if k not in {"kind", "change"}} | {
        "annotation": None,
        "mutes": [],
    }
    schemas = document()["components"]["schemas"]
    jsonschema_rs.Draft202012Validator(schemas["Incident"] | {"components": {"schemas": schemas}}).validate(found)
    assert list(found) == list(schemas["Incident"]["properties"]) == list(example())
