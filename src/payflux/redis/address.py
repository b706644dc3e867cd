"""Where Redis is, and as whom we come: the settings, how they are read, and how an address may be shown."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from payflux.settings import Setting, Values, mask, optional, secret_in


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is and who we are there.

    Attributes:
        host: its host.
        port: its port.
        path: a unix socket, which wins over host and port.
        tls: it is spoken to with TLS.
        user: empty for the default one.
        password: empty for none.
        database: its number.
        authority: file with the certificates that vouch for it (PEM); empty for those of the system.
        certificate: file with the certificate we show (PEM); empty for none.
        key: file with the key of that certificate; empty where it stands in the same file.
        file: in which this address stood; it is read again for each connection, as the password may be a new one.
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    tls: bool = False
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0
    authority: str = ""
    certificate: str = ""
    key: str = ""
    file: str = ""

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
    wanted = (
        "redis://[user:password@]host[:port][/db], rediss://… or unix://[user:password@]/path[?db=n]; in a password "
        "write %25 for %, %23 for #, %2F for /, %3F for ?, %40 for @"
    )
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


def _readable(text: str) -> None:
    try:
        Path(text).open("rb").close()
    except (OSError, ValueError) as error:
        raise ValueError(f"a file that can be read ({getattr(error, 'strerror', None) or error})") from None


REDIS_CA = optional(
    "PAYFLUX_REDIS_CA",
    str,
    "File with the certificates that vouch for Redis (PEM); unset: those of the system.",
    look=_readable,
)
REDIS_CERT = optional("PAYFLUX_REDIS_CERT", str, "File with the certificate to show Redis (PEM).", look=_readable)
REDIS_KEY = optional(
    "PAYFLUX_REDIS_KEY",
    str,
    "File with the key of PAYFLUX_REDIS_CERT, where it is another one; without a password.",
    look=_readable,
)
SETTINGS = (REDIS_ADDR, REDIS_URL, REDIS_CA, REDIS_CERT, REDIS_KEY)


def check_address(values: Values) -> list[str]:
    """The rules that REDIS_ADDR and REDIS_URL exclude each other, and that certificates are for TLS."""
    if values.is_set(REDIS_ADDR) and values.is_set(REDIS_URL):
        return ["REDIS_URL and REDIS_ADDR: expected one of the two, both are set"]
    given = [setting.name for setting in (REDIS_CA, REDIS_CERT, REDIS_KEY) if values.is_set(setting)]
    problems = []
    if given and not address_of(values).tls:
        problems.append(f"{', '.join(given)}: expected REDIS_URL=rediss://…, as there are no certificates without TLS")
    if values[REDIS_KEY] and not values[REDIS_CERT]:
        problems.append("PAYFLUX_REDIS_KEY: expected PAYFLUX_REDIS_CERT as well")
    return problems


def address_of(values: Values) -> RedisAddress:
    """Where the configured Redis is, and how to come there."""
    url = values[REDIS_URL]
    return replace(
        values[REDIS_ADDR] if url is None else url,
        authority=values[REDIS_CA] or "",
        certificate=values[REDIS_CERT] or "",
        key=values[REDIS_KEY] or "",
        file=values.file_of(REDIS_URL),
    )


def newest(address: RedisAddress) -> RedisAddress:
    """An address as its file tells it now; as it is, where there is none, or none that can be read."""
    if not address.file:
        return address
    try:
        told = parse_url(secret_in(address.file))
    except ValueError:
        return address
    return replace(
        told, authority=address.authority, certificate=address.certificate, key=address.key, file=address.file
    )
