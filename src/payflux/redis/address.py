"""Where Redis is, and as whom we come: the settings, how they are read, and how an address may be shown."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from payflux.settings import Setting, Values, mask, optional


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is and who we are there; `path` is a unix socket and wins over host and port."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    tls: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        """The address as it may be shown: without user and password."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


def parse_addr(text: str) -> RedisAddress:
    """Read `host:port`."""
    found = re.fullmatch(r"([^\s/@\[\]:]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError("host:port")
    return RedisAddress(host=found[1].strip("[]"), port=int(found[2]))


def parse_url(text: str) -> RedisAddress:
    """Read `redis://`, `rediss://` or `unix://`, with user, password and database."""
    wanted = "redis://[user:password@]host[:port][/db], rediss://… or unix://[user:password@]/path[?db=n]"
    try:
        url = urlsplit(text)
        port = 6379 if url.port is None else url.port
    except ValueError:
        raise ValueError(wanted) from None
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if url.scheme == "unix":
        database = re.fullmatch(r"(?:db=([0-9]{1,4}))?", url.query)
        if database is None or not url.path or url.hostname or url.fragment:
            raise ValueError(wanted)
        return RedisAddress(path=unquote(url.path), user=user, password=password, database=int(database[1] or 0))
    database = re.fullmatch(r"/?([0-9]{1,4})?", url.path)
    if url.scheme not in ("redis", "rediss") or not url.hostname or not port or url.query or url.fragment:
        raise ValueError(wanted)
    if database is None:
        raise ValueError(wanted)
    tls = url.scheme == "rediss"
    return RedisAddress(url.hostname, port, "", tls, user, password, int(database[1] or 0))


def without_login(text: str) -> str:
    """A URL as it may be shown: user and password masked; masked whole where it is none."""
    try:
        parse_url(text)
    except ValueError:
        return mask(text)
    login, at, place = text.rpartition("@")
    return f"{login.partition('//')[0]}//****@{place}" if at else text


REDIS_ADDR = Setting("REDIS_ADDR", parse_addr, "localhost:6379", "Address of Redis, host:port.")
REDIS_URL = optional(
    "REDIS_URL",
    parse_url,
    "Address of Redis as a URL instead (redis://, rediss://, unix://; user, password, database).",
    secret=True,
    masked=without_login,
)


def check_address(values: Values) -> list[str]:
    """The rule that REDIS_ADDR and REDIS_URL exclude each other."""
    if values.is_set(REDIS_ADDR) and values.is_set(REDIS_URL):
        return ["REDIS_URL and REDIS_ADDR: expected one of the two, both are set"]
    return []


def address_of(values: Values) -> RedisAddress:
    """Where the configured Redis is."""
    url = values[REDIS_URL]
    return values[REDIS_ADDR] if url is None else url
