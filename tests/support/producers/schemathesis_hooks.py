"""What Schemathesis has to be told of this API; it loads this file by itself."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
def ndjson(context: Any, value: Any) -> bytes:
    """A text goes out as it stands; what is no text has no lines."""
    return value.encode() if isinstance(value, str) else b""
