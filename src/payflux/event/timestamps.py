"""When an event happened: RFC 3339 as producers write it, and the one form it is stored in."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_FRACTION = re.compile(r"\.[0-9]{1,6}Z")
_WRITTEN = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2})"
    r"(?::([0-9]{2})(\.[0-9]+)?)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_FRACTION_LENGTH = len(".123456")


def normal_timestamp(text: str) -> str | None:
    """A timestamp in the form it is stored in: UTC, seconds, at most six digits of fraction, `Z`.

    Taken are RFC 3339 date-times that exist in the calendar, in either letter case, with any number of fraction digits
    (those after the sixth are cut) and offsets from -23:59 to +23:59, and such without seconds, as Java writes them. A
    leap second (`:60`) is refused, as most consumers of the event could not read it.

    Args:
        text: as the producer sent it.

    Returns:
        The same moment; the text itself if it has this form already; None if it is no such timestamp, or lies outside
        the years 1 to 9999 in UTC.
    """
    if _is_second(text[:19]) and (text[19:] == "Z" or _FRACTION.fullmatch(text, 19)):
        return text
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    minute, second, fraction, offset = found.groups("")
    moment = _in_utc(f"{minute}:{second or '00'}{offset}".upper())
    return None if moment is None else f"{moment}{fraction[:_FRACTION_LENGTH]}Z"


@lru_cache(maxsize=1024)
def _is_second(text: str) -> bool:
    if not _SECOND.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _in_utc(text: str) -> str | None:
    """A second with its offset as that of UTC, which stands without one; None if there is no such second."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError):
        return None
