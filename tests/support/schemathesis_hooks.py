"""What Schemathesis has to be told of this API; it loads this file by itself."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
def ndjson(context: Any, value: Any) -> bytes:
    """A text goes out as it stands; what is no text has no lines."""
    return value.encode() if isinstance(value, str) else b""


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """JSON Schema calls 54.0 an integer. The event says in words that it is none, and a schema has no way to."""
    if not isinstance(body, dict):
        return body
    whole = {name: int(value) for name, value in body.items() if isinstance(value, float) and value.is_integer()}
    return body | whole
