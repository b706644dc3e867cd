"""Asks the servers of a deployment over HTTP."""

import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

TIMEOUT_SECONDS = 5.0


class Answer(NamedTuple):
    """What a server said."""

    status: int
    body: bytes


def parse_base(text: str) -> str:
    """Read an address such as `http://localhost:8080`, without what ends in a slash; raises ValueError."""
    parts = urllib.parse.urlsplit(text)
    plain = not (parts.query or parts.fragment or parts.username or " " in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("an address such as http://localhost:8080")
    return text.rstrip("/")


def ask(url: str, key: str | None = None, body: bytes | None = None) -> Answer:
    """GET an address, or POST to it; past any proxy of the environment.

    Raises:
        OSError: nobody answered.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - parse_base has looked at the scheme
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())
    except http.client.HTTPException as error:
        raise OSError(f"what answers there does not speak HTTP ({type(error).__name__})") from None


def reason_of(error: OSError) -> str:
    """Why nobody answered, in words."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)
