"""The OpenAPI document: valid, complete, and true to what the code accepts and answers."""

import asyncio
import inspect
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from nodes import KEY, Node
from payflux.errors import REMEDIES, StreamUnavailable
from payflux.event.decode import ADDITIVE_FIELDS, CODES, EVENT_FIELDS, PaymentEvent
from payflux.event.example import EXAMPLE
from payflux.http.messages import REASONS, Request, Response
from payflux.ingest.token_bucket import BUCKETS
from payflux.node.composition import appender_of, routes_of
from payflux.node.plan import Plan
from payflux.node.settings import SETTINGS
from payflux.operations import openapi
from payflux.operations import schemas as openapi_schemas
from payflux.redis import replies
from payflux.redis.address import address_of
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.settings import load
from payflux.stream.protocol import GROUP
from payflux.telemetry.metrics import REJECT_REASONS, Metrics, create_slab
from payflux.telemetry.notes import CONSUMER, SUPERVISOR
from payflux.webhooks.registry import ADAPTERS, PREFIX
from real_parts import MakeNode
from receiving import environ
from stripe_server import KEY as STRIPE_KEY
from stripe_server import stripe_server

ENVIRON = {"PAYFLUX_API_KEY": KEY, "STRIPE_API_KEY": STRIPE_KEY, "REDIS_URL": "unix:///nowhere"}


@lru_cache(maxsize=1)
def document() -> Any:
    """All that is described."""
    return json.loads(json.dumps(openapi.document(list(openapi._paths()))))


def operations() -> Iterator[tuple[str, str, Any]]:
    """Path, method and operation of all that is described."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    """Of a schema of the document."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": document()["components"]})


def test_it_is_valid_openapi() -> None:
    """By the meta-schema of OpenAPI 3.1, and each schema in it by that of JSON Schema."""
    OPENAPI_31_VALIDATOR.validate(document())
    for schema in document()["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator(schema | {"components": document()["components"]})
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


@pytest.mark.parametrize("checkout", ["true", "false"])
@pytest.mark.parametrize("ingests", [True, False])
async def test_each_role_describes_exactly_what_it_serves(checkout: str, ingests: bool) -> None:
    """Every route of the router is in the document with its methods, and nothing else is."""
    slab = create_slab([SUPERVISOR, CONSUMER, "ingest-0"], **{BUCKETS: 8})
    plan = Plan("ingest-0", slab.fd, (), (), -1, ingests, not ingests, 1, True, "token", "name")
    values = load(SETTINGS, ENVIRON | {"PAYFLUX_CHECKOUT_ENABLED": checkout})
    metrics = Metrics(slab, plan.child)
    appender = appender_of(plan, values, metrics, lambda: 0)
    routes = routes_of(plan, values, metrics, appender, RedisMonitor(address_of(values), Keys(), GROUP), webhooks={})
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    routes[openapi.PATH]["GET"].handle(Request("GET", openapi.PATH), answer.set_result)
    described = json.loads((await answer).body)["paths"]
    assert {path: {method.lower() for method in methods} for path, methods in routes.items()} == {
        path: set(item) for path, item in described.items()
    }
    assert ("/checkout" in described) == (ingests and checkout == "true")
    os.close(slab.fd)


def test_everything_described_is_a_path_of_a_node() -> None:
    """The document of a node with all its parts leaves nothing of the description out."""
    assert set(document()["paths"]) == set(openapi._paths())
    assert len({operation["operationId"] for _, _, operation in operations()}) == len(list(operations()))


def test_every_error_is_a_problem_of_its_status() -> None:
    """Each status is one we have, each error is problem+json, and its examples satisfy their own schema."""
    for path, _, operation in operations():
        for status, response in operation["responses"].items():
            assert int(status) in REASONS
            if int(status) < 400:
                continue
            [(kind, content)] = response["content"].items()
            assert kind == "application/problem+json", path
            assert content["examples"]
            for example in content["examples"].values():
                validator(content["schema"]).validate(example["value"])
                assert example["value"]["status"] == int(status)


def test_examples_of_answers_satisfy_their_schemas() -> None:
    """Those of success, too."""
    for _, _, operation in operations():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                if "example" in content:
                    validator(content["schema"]).validate(content["example"])


def codes(path: str, status: int) -> set[str]:
    """The codes a path may answer with a status."""
    [item] = document()["paths"][path].values()
    [content] = item["responses"][str(status)]["content"].values()
    return set(content["schema"]["allOf"][1]["properties"]["code"]["enum"])


def test_codes_are_those_declared() -> None:
    """Refusals of an event, of a batch, and of Redis: all that are declared, and no others."""
    single, batch = "/v1/events/payment_exhaust", "/v1/events/payment_exhaust/batch"
    assert codes(single, 400) == {"bad_request"} | (CODES.keys() & REJECT_REASONS.keys())
    head = {"unauthorized", "body_too_large", "unsupported_media_type", "unsupported_encoding", "rate_limited"}
    assert set().union(*(codes(single, status) for status in (401, 413, 415, 429))) == head
    refused = set().union(*(codes(batch, status) for status in (400, 401, 408, 413, 415, 429))) - {"bad_request"}
    assert refused | codes(single, 400) - {"bad_request"} == REJECT_REASONS.keys() - {"unavailable"}
    declared = {*REMEDIES, *re.findall(r"`((?:redis_|overloaded)\w*)`", inspect.getdoc(StreamUnavailable) or "")}
    assert set(openapi.UNCONFIRMED) == declared
    assert {*replies.CODES.values()} < declared
    for path in (single, batch, "/readyz", "/health"):
        assert declared < codes(path, 503)


def test_every_member_is_described_and_in_the_examples() -> None:
    """No member is forgotten when one is added."""
    members = document()["components"]["schemas"]["PaymentEvent"]["properties"]
    assert tuple(members) == tuple(openapi_schemas.MEANINGS) == EVENT_FIELDS + ADDITIVE_FIELDS
    assert tuple(members) == PaymentEvent.__struct_fields__
    assert tuple(EXAMPLE) == EVENT_FIELDS
    assert tuple(openapi.LONGEST) == EVENT_FIELDS + ADDITIVE_FIELDS


def encoded(kind: str, value: Any) -> bytes:
    """An example as it goes out."""
    body: str = value if kind != "application/json" else json.dumps(value)
    return body.encode()


def send(node: Node, path: str, method: str, kind: str = "", value: Any = None) -> tuple[int, bytes]:
    """One request of a path, with a key."""
    body = encoded(kind, value) if kind else None
    headers = {"Authorization": f"Bearer {KEY}"} | ({"Content-Type": kind} if kind else {})
    return node.request(method.upper(), quote(path), body, headers)


def documented(operation: Any, status: int, answer: bytes) -> Any:
    """The answer as read, after it was found to be as described."""
    kind, content = next(iter(operation["responses"][str(status)]["content"].items()))
    value = json.loads(answer) if kind.endswith("json") else answer.decode()
    validator(content["schema"]).validate(value)
    return value


@pytest.mark.process
def test_every_example_is_accepted_by_a_living_node(make_node: MakeNode) -> None:
    """Each request as shown succeeds, each path answers as described, and the node serves this very document."""
    with stripe_server() as stripe:
        node = make_node(
            {"PAYFLUX_CHECKOUT_ENABLED": "true", "STRIPE_API_KEY": STRIPE_KEY, "STRIPE_API_BASE": stripe.url}
            | environ(*ADAPTERS)
            | {"PAYFLUX_API_KEY": KEY}
        )
        assert json.loads(node.get(openapi.PATH)[1]) == document()
        sent = 0
        for path, method, operation in operations():
            if path.startswith(PREFIX):
                continue  # what comes there is the processor's, not ours to describe
            if "requestBody" not in operation:
                status, answer = send(node, path, method)
                assert status == (404 if path.endswith("}") else 200), path  # nothing is known yet
                documented(operation, status, answer)
                continue
            for kind, content in operation["requestBody"]["content"].items():
                for example in content["examples"].values():
                    validator(content["schema"]).validate(example["value"])
                    status, answer = send(node, path, method, kind, example["value"])
                    assert status in {200, 202}, (path, kind, answer)
                    value = documented(operation, status, answer)
                    assert value.get("rejected", 0) == 0
                    sent += 1
        assert sent >= 9
    assert node.metrics()["ingest_accepted_total"] == 3
    assert node.request("HEAD", openapi.PATH) == (200, b"")


@pytest.mark.process
def test_refusals_of_a_living_node_are_as_described(make_node: MakeNode) -> None:
    """Wrong key, type, encoding, batch and events: each answer satisfies the schema of its status."""
    node = make_node(
        {"PAYFLUX_API_KEYS": f"{KEY},fast-key", "PAYFLUX_RATELIMIT_RPS": "1", "PAYFLUX_RATELIMIT_BURST": "9"}
    )
    path = "/v1/events/payment_exhaust"
    key = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    fast = key | {"Authorization": "Bearer fast-key"}  # left in debt by its batch
    event = EXAMPLE | {"channel": "4111111111111111"}
    requests: list[tuple[str, bytes, dict[str, str], int]] = [
        (path, b"", {}, 401),
        (path, b"x", key | {"Content-Type": "text/plain"}, 415),
        (path, b"x", key | {"Content-Encoding": "gzip"}, 415),
        (path, b"x" * 1_048_577, key, 413),
        (path, b"{", key, 400),
        (path, json.dumps(event).encode(), key, 400),
        (f"{path}/batch", b"{}", key, 400),
        (f"{path}/batch", json.dumps([event, EXAMPLE, *range(98)]).encode(), fast, 200),
        (path, b"{}", fast, 429),
    ]
    for where, body, headers, expected in requests:
        status, answer = node.request("POST", where, body, headers)
        assert status == expected, answer
        [content] = document()["paths"][where]["post"]["responses"][str(status)]["content"].values()
        validator(content["schema"]).validate(json.loads(answer))
