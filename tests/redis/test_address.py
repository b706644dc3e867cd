"""Where Redis is: the forms of an address, and what is refused."""

from pathlib import Path
from urllib.parse import quote

import pytest

from payflux.errors import SettingsError
from payflux.redis.address import REDIS_URL, SETTINGS, RedisAddress, address_of, check_address, parse_addr, parse_url
from payflux.settings import load

PASSWORD = "s3cret/:@#%"
QUOTED = "s3cret%2F%3A%40%23%25"


# addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:6379", "localhost", 6379),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("redis.prod.svc.cluster.local:65535", "redis.prod.svc.cluster.local", 65535),
        ("my_redis-1:6379", "my_redis-1", 6379),
        ("[::1]:6379", "::1", 6379),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    """What people write into REDIS_ADDR."""
    assert parse_addr(text) == RedisAddress(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "localhost",
            ":6379",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:x",
            "a:1\n",
            "a:" + "1" * 5000,
        ),
        *("redis://localhost:6379", "user@host:6379", "::1:6379", "a b:6379", "host/0:6379", "[]:1", "[x]:1", "h:٣"),
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    """A URL, a missing port, an IPv6 address without brackets: said at the start, not by a resolver later."""
    with pytest.raises(ValueError, match=r"^host:port$"):
        parse_addr(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://h", RedisAddress("h")),
        ("redis://h/", RedisAddress("h")),
        ("redis://h:1234/5", RedisAddress("h", 1234, database=5)),
        ("rediss://h", RedisAddress("h", tls=True)),
        ("redis://[::1]:7/15", RedisAddress("::1", 7, database=15)),
        (f"redis://:{QUOTED}@h", RedisAddress("h", password=PASSWORD)),
        (f"rediss://us%40er:{QUOTED}@h:1/2", RedisAddress("h", 1, "", True, "us@er", PASSWORD, 2)),
        ("redis://user@h", RedisAddress("h", user="user")),
        ("unix:///run/r.sock", RedisAddress(path="/run/r.sock")),
        ("unix:///run/a%20b.sock?db=3", RedisAddress(path="/run/a b.sock", database=3)),
        (f"unix://user:{QUOTED}@/r.sock", RedisAddress(path="/r.sock", user="user", password=PASSWORD)),
    ],
)
def test_a_url_says_everything(text: str, address: RedisAddress) -> None:
    """Every part a URL may have."""
    assert parse_url(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost:6379", "http://h", "redis://", "redis:///0", "redis://h:0", "redis://h:x", "redis://h:70000"),
        *(
            "redis://h/x",
            "redis://h/-1",
            "redis://h/²",
            "redis://h/0/1",
            "redis://h?db=1",
            "redis://h/0#x",
            "redis://[h",
        ),
        *("unix://", "unix://run/r.sock", "unix:///r.sock?db=x", "unix:///r.sock?5", "unix:///r.sock?db=1&x=2"),
        *("redis://:a#b@h", "redis://h/" + "1" * 5000),
    ],
)
def test_other_urls_are_refused(text: str) -> None:
    """What would be misread is refused, with what is wanted and nothing of what was given."""
    with pytest.raises(ValueError, match=r"^redis://\[user:password@\]host") as raised:
        parse_url(text)
    assert "[?db=n]" in str(raised.value)


@pytest.mark.parametrize("character", "#/?")
def test_how_to_write_a_password_is_said(character: str) -> None:
    """A character that ends what comes before it is refused unescaped, and the refusal says how to write each."""
    with pytest.raises(ValueError, match="in a password write") as raised:
        parse_url(f"redis://:pass{character}word@h")
    assert f"{quote(character, safe='')} for {character}" in str(raised.value)
    assert parse_url(f"redis://:pass{quote(character, safe='')}word@h").password == f"pass{character}word"


def test_what_is_not_ambiguous_is_taken() -> None:
    """An @ belongs to the password where another one follows, a % where no two digits do."""
    assert parse_url("redis://:100%@word@h").password == "100%@word"


def test_certificates_are_for_tls(tmp_path: Path) -> None:
    """They come with the address, or it is said what is missing; a file that is not there is named."""
    pem = tmp_path / "x.pem"
    pem.touch()
    certificates = {"PAYFLUX_REDIS_CA": str(pem), "PAYFLUX_REDIS_CERT": str(pem), "PAYFLUX_REDIS_KEY": str(pem)}
    address = address_of(load(SETTINGS, {"REDIS_URL": "rediss://h"} | certificates, [check_address]))
    assert address == RedisAddress("h", tls=True, authority=str(pem), certificate=str(pem), key=str(pem))
    for environ, problem in (
        (
            {"REDIS_URL": "redis://h", **certificates},
            "PAYFLUX_REDIS_CA, PAYFLUX_REDIS_CERT, PAYFLUX_REDIS_KEY: expected",
        ),
        ({"REDIS_URL": "rediss://h", "PAYFLUX_REDIS_KEY": str(pem)}, "PAYFLUX_REDIS_KEY: expected PAYFLUX_REDIS_CERT"),
        (
            {"REDIS_URL": "rediss://h", "PAYFLUX_REDIS_CA": "/none"},
            "PAYFLUX_REDIS_CA='/none': expected a file that can",
        ),
    ):
        with pytest.raises(SettingsError) as raised:
            load(SETTINGS, environ, [check_address])
        assert raised.value.problems[0].startswith(problem)
    given = load(SETTINGS, {"REDIS_URL": "rediss://h"} | certificates, [check_address]).handed_on()
    pem.unlink()
    assert address_of(load(SETTINGS, given, [check_address], handed_on=True)) == address  # another process looked


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_no_secret_is_shown(scheme: str) -> None:
    """Neither user nor password stands in an address as text, nor in its debugging form."""
    address = parse_url(f"{scheme}://name:topsecret@{'' if scheme == 'unix' else 'h'}/1")
    assert (address.user, address.password) == ("name", "topsecret")
    for shown in (str(address), repr(address), f"{[address]}"):
        assert "topsecret" not in shown
        assert "name" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6380/2", "redis://host:6380/2"),
        ("redis://name:pass@word@host:6380/2", "redis://****@host:6380/2"),
        ("rediss://:password@host", "rediss://****@host"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://name:password@/run/redis.sock", "unix://****@/run/redis.sock"),
        ("unix://:12/34@/run/redis.sock", "unix://****@/run/redis.sock"),  # a slash that was not escaped
        ("redis://:pass/word@host/1", "****/1"),
        ("redis:/name:password@host", "****st"),
    ],
)
def test_a_url_is_shown_without_its_login(url: str, shown: str) -> None:
    """Where Redis is may be seen, who we are there may not; what cannot be read is masked whole."""
    assert REDIS_URL.show(url) == shown


def test_settings_give_the_address() -> None:
    """REDIS_URL wins over the default of REDIS_ADDR; both set are refused, a secret in it is masked."""
    declared = SETTINGS
    assert address_of(load(declared, {}, [check_address])) == RedisAddress()
    assert address_of(load(declared, {"REDIS_ADDR": "h:1"}, [check_address])) == RedisAddress("h", 1)
    assert address_of(load(declared, {"REDIS_URL": "redis://h:2/3"}, [check_address])) == RedisAddress(
        "h", 2, database=3
    )
    with pytest.raises(SettingsError) as raised:
        load(declared, {"REDIS_ADDR": "h:1", "REDIS_URL": "redis://h"}, [check_address])
    assert raised.value.problems == ("REDIS_URL and REDIS_ADDR: expected one of the two, both are set",)
    with pytest.raises(SettingsError) as raised:
        load(declared, {"REDIS_URL": "redis://:topsecretword@h/x"}, [check_address])
    assert "topsecretword" not in str(raised.value)
