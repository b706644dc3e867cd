"""Reading the bodies of webhooks: only members that are wanted, and a refusal in words instead of an exception."""

from typing import Any, TypeVar

import msgspec

from payflux.webhooks import Unreadable

T = TypeVar("T")


def read_json(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode JSON.

    Raises:
        Unreadable: it is not valid, or a member that is used has another type; the text never holds a value.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _, _, place = str(error).partition(" - at ")
        raise Unreadable(f"a member has another type than published ({place[:80] or 'at the top'})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable("the body is not valid JSON") from None


def text(value: object) -> str:
    """A value that should be text, as text: what is none is empty."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """A value that should be a whole number; None for anything else."""
    return value if type(value) is int else None


def member(value: Any, *path: str) -> Any:
    """What stands at a path of nested objects; None when it does not lead anywhere."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
