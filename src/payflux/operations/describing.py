"""How an operation is described in OpenAPI: its parameters, bodies and answers."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from payflux.http.messages import JSON, PROBLEM, REASONS, Response
from payflux.operations.schemas import ref

Json = dict[str, Any]


def operation(  # noqa: PLR0917 - read like a page
    name: str,
    summary: str,
    description: str,
    responses: Json,
    body: Json | None = None,
    parameters: Sequence[Json] = (),
    *,
    body_required: bool = True,
    keyed: bool = False,
) -> Json:
    """One operation of a path.

    Args:
        name: its `operationId`.
        summary: what it does, in a few words.
        description: what more is to be known; may be empty.
        responses: by status.
        body: contents of the request, by type; what takes one takes a key.
        parameters: of the path and the query.
        body_required: whether the body may be missing.
        keyed: it takes a key without a body.
    """
    told: Json = {"operationId": name, "summary": summary}
    if description:
        told["description"] = description
    if parameters:
        told["parameters"] = parameters
    if body is not None:
        told["requestBody"] = {"required": body_required, "content": body}
    if body is not None or keyed:
        told["security"] = [{"bearer": []}]
    return told | {"responses": dict(sorted(responses.items()))}


def contents(kinds: Iterable[bytes], schema: Json, **examples: object) -> Json:
    """A body of any of some types, with examples by name."""
    content = {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {kind.decode(): content for kind in kinds}


def ok(description: str, schema: Json, *examples: object, status: int = 200, kind: bytes = JSON) -> Json:
    """A success, with an example of it."""
    content = {"schema": schema} | ({"example": examples[0]} if examples else {})
    return {str(status): {"description": description, "content": {kind.decode(): content}}}


def problems(*answers: Response) -> Json:
    """The errors of a path, by status, from the answers it gives."""
    statuses = sorted({answer.status for answer in answers})
    return {str(status): _problem(status, [a for a in answers if a.status == status]) for status in statuses}


def _problem(status: int, answers: Sequence[Response]) -> Json:
    bodies = [msgspec.json.decode(answer.body) for answer in answers]
    codes = list(dict.fromkeys(body["code"] for body in bodies))
    told: dict[str, Json] = {}  # each thing once, though several codes may say it
    for body in bodies:
        told.setdefault(body["detail"], body)
    members = {"status": {"const": status}, "code": {"enum": codes}}
    content = {
        "schema": {"allOf": [ref("Problem"), {"properties": members}]},
        "examples": {body["code"]: {"value": body} for body in told.values()},
    }
    described: Json = {"description": f"{REASONS[status].decode()}: " + "; ".join(told)}
    headers = _headers(answers)
    return described | ({"headers": headers} if headers else {}) | {"content": {PROBLEM.decode(): content}}


def _headers(answers: Sequence[Response]) -> Json:
    """The further headers of answers with one status; required where all have it."""
    sent = [{line.partition(b":")[0].decode() for line in answer.head.splitlines()[1:]} for answer in answers]
    names = sorted(name for name in set[str]().union(*sent) if not name.startswith("Content-"))
    return {name: {"required": all(name in one for one in sent), "schema": _header(name)} for name in names}


def _header(name: str) -> Json:
    return {"type": "integer", "minimum": 1} if name == "Retry-After" else {"type": "string"}
