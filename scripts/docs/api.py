"""The reference of the HTTP interface, written from the OpenAPI document that a node serves."""

import json
from collections.abc import Iterator
from typing import Any

from payflux.operations import openapi
from scripts.docs.markdown import Row, code, table

FEW = 8
"""More codes than these are not listed with each path."""


def document() -> Any:
    """All that is described, whatever a node serves."""
    return openapi.document(openapi._paths())  # noqa: SLF001 - see above


def operations() -> Iterator[tuple[str, str, Any]]:
    """Method, path and description of everything that can be asked for."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def api() -> str:
    """A section for each method of each path, and the schemas they speak of."""
    paths = "\n".join(_section(*one) for one in operations())
    schemas = document()["components"]["schemas"]
    told = "\n".join(_schema(name, schema) for name, schema in schemas.items() if "properties" in schema)
    return f"## Paths\n\n{paths}\n## Schemas\n\n{told}"


def _section(method: str, path: str, operation: Any) -> str:
    parts = [f"### `{method} {path}`", f"{operation['summary']}. {operation.get('description', '')}".strip()]
    if "security" in operation:
        parts.append("Takes a key: `Authorization: Bearer KEY`.")
    if parameters := operation.get("parameters"):
        rows = ((code(one["name"]), one["in"], one.get("description", "")) for one in parameters)
        parts.append(table(("parameter", "in", "meaning"), rows).rstrip())
    if body := operation.get("requestBody"):
        parts += _body(body["content"])
    parts.append(table(("answer", "type", "meaning"), map(_answer, operation["responses"].items())).rstrip())
    parts += [
        _block(content["example"]) for content in _contents(operation) if isinstance(content.get("example"), dict)
    ]
    return "\n\n".join(parts) + "\n"


def _body(contents: Any) -> Iterator[str]:
    kinds: dict[str, list[str]] = {}
    for kind, content in contents.items():
        kinds.setdefault(content["schema"].get("description", "").rstrip(".") or _kind(content["schema"]), []).append(
            code(kind)
        )
    told = (f"{said or 'anything'} as {', '.join(names)}" for said, names in kinds.items())
    yield f"Body: {'; or '.join(told)}."
    examples = next(iter(contents.values())).get("examples", {})
    for example in list(examples.values())[:1]:
        yield _block(example["value"])


def _contents(operation: Any) -> Iterator[Any]:
    """What is answered when all is well."""
    for status, answer in operation["responses"].items():
        if int(status) < 300:
            yield from answer.get("content", {}).values()


def _answer(answer: tuple[str, Any]) -> Row:
    status, told = answer
    kinds = ", ".join(map(code, told.get("content", {})))
    if int(status) < 400:
        return code(status), kinds, told["description"]
    [content] = told["content"].values()
    codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    meaning = ", ".join(map(code, codes)) if len(codes) <= FEW else f"{len(codes)} codes: [errors](errors.md)"
    return code(status), kinds, meaning


def _schema(name: str, schema: Any) -> str:
    required = schema.get("required", ())
    rows = (
        (code(member), _kind(one), "yes" if member in required else "no", one.get("description", ""))
        for member, one in schema["properties"].items()
    )
    return (
        f"### {name}\n\n{schema.get('description', '')}\n\n{table(('member', 'type', 'always there', 'meaning'), rows)}"
    )


def _kind(schema: Any) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"] if value is not None)
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_kind, schema["anyOf"])))
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    return kind if isinstance(kind, str) else " or ".join(kind)


def _block(value: object) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
