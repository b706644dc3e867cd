"""Connecting to Redis: as whom, under which name, and why it may be refused."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from needs import program
from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress, parse_url
from payflux.redis.append import probe
from payflux.redis.dial import Dialler, connect
from real_parts import binary_or_skip
from redis_links import linked, refused, speaking
from servers import Server, until
from stream_keys import KEYS, STREAM

PASSWORD = "s3cret/:@#%"


@pytest.fixture
def port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
        return free


@pytest.fixture
def tcp_server(directory: Path, port: int) -> Iterator[Server]:
    """A server that listens on TCP too, and wants a password there and on its socket."""
    server = Server(binary_or_skip("valkey-9"), directory, "--port", str(port))
    server.client.config_set("requirepass", PASSWORD)
    server.client.connection_pool.connection_kwargs["password"] = PASSWORD
    yield server
    server.stop()


@pytest.mark.parametrize("user", ["", "default", "bob"])
async def test_tcp_with_password_and_database(tcp_server: Server, port: int, user: str) -> None:
    """Logged in as the right user, in the right database, under our name."""
    tcp_server.client.acl_setuser("bob", enabled=True, passwords=["+" + PASSWORD], keys=["*"], categories=["+@all"])
    address = RedisAddress("127.0.0.1", port, user=user, password=PASSWORD, database=3)
    async with linked(address, "my name é") as link:
        assert await link.call("ACL", "WHOAMI") == (user or "default").encode()
        assert await link.call("CLIENT", "GETNAME") == b"my_name__"
        assert await link.call("SET", "here", 1) == b"OK"
    assert tcp_server.client.execute_command("SELECT", 3)  # type: ignore[no-untyped-call]
    assert tcp_server.client.info("keyspace")["db3"]["keys"] == 1


async def test_a_name_that_is_refused_is_done_without(directory: Path) -> None:
    """Proxies, and servers where the command is renamed, know no CLIENT; it is not needed."""
    server = Server(binary_or_skip("valkey-9"), directory, "--rename-command", "CLIENT", "CLIENT2")
    try:
        async with linked(RedisAddress(path=str(server.path))) as link:
            assert await link.call("PING") == b"PONG"
    finally:
        server.stop()


async def test_a_user_without_password_logs_in(tcp_server: Server) -> None:
    """An ACL user with `nopass` needs its name alone."""
    tcp_server.client.acl_setuser("open", enabled=True, nopass=True, categories=["+@all"])
    async with linked(parse_url(f"unix://open@{tcp_server.path}")) as link:
        assert await link.call("ACL", "WHOAMI") == b"open"


async def test_a_refused_login_says_so(tcp_server: Server, port: int) -> None:
    """A wrong password is redis_auth at once; a missing one when something is asked; neither is ever shown."""
    error = await refused(RedisAddress("127.0.0.1", port, password="wrongword"))
    assert error.code == "redis_auth"
    assert "wrongword" not in str(error)
    assert (await refused(RedisAddress("127.0.0.1", port))).code == "redis_auth"
    assert (
        await refused(RedisAddress(path=str(tcp_server.path), password=PASSWORD, database=99))
    ).code == "redis_database"


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid", "a" * 70, "foo..bar"])
async def test_an_unreachable_server_is_down(port: int, host: str) -> None:
    """Nobody listens, or there is no such host, or a name no resolver takes: all the same error."""
    error = await refused(RedisAddress(host, port))
    assert error.code == "redis_down"
    assert f"{host}:{port}" in str(error)


async def test_an_unreachable_socket_is_down(directory: Path) -> None:
    """A missing socket, or a path longer than the kernel takes."""
    assert (await refused(RedisAddress(path=str(directory / "none")))).code == "redis_down"
    assert (await refused(RedisAddress(path="/tmp/" + "x" * 200))).code == "redis_down"  # noqa: S108 - it never exists


async def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who accepts and says nothing is given up after the time for connecting."""
    monkeypatch.setattr("payflux.redis.dial.CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await refused(RedisAddress("127.0.0.1", silent.getsockname()[1]))
    assert error.code == "redis_timeout"


async def test_a_server_that_hangs_up_is_down() -> None:
    """Who accepts and closes is told as such, and the loss is reported once."""
    lost: list[bool] = []
    async with speaking(b"") as address:
        with pytest.raises(StreamUnavailable) as raised:
            await connect(address, "test", lambda: lost.append(True))
    assert raised.value.code == "redis_down"
    assert lost == [True]


@pytest.fixture
def certificate(directory: Path) -> Path:
    """A self-signed certificate of localhost, with its key beside it, and one file with both."""
    openssl = program("openssl")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"),
            *("-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    cert, key = directory / "cert.pem", directory / "key.pem"
    (directory / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    return cert


def tls_server(directory: Path, certificate: Path, port: int, *further: str) -> Server:
    """A server with TLS and further options; skips the test where no binary can."""
    binary = binary_or_skip("redis-7")
    options = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-auth-clients", "no")
    key = ("--tls-key-file", str(certificate.with_name("key.pem")))
    if b"libssl" not in subprocess.run([program("ldd"), binary], capture_output=True).stdout:
        pytest.skip("this redis-server has no TLS")
    return Server(binary, directory, *options, *key, *further)


async def test_tls_is_verified(directory: Path, certificate: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate nobody vouches for is refused, a trusted one is taken for the name it is for alone."""
    server = tls_server(directory, certificate, port)
    try:
        address = parse_url(f"rediss://localhost:{port}")
        error = await refused(address)
        assert error.code == "redis_tls"
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with linked(address) as link:
            assert await link.call("PING") == b"PONG"
        assert (await refused(RedisAddress("127.0.0.1", port, tls=True))).code == "redis_tls"
    finally:
        server.stop()


async def test_an_authority_of_our_own_and_a_certificate_of_ours(directory: Path, certificate: Path, port: int) -> None:
    """Redis wants to know us: without a certificate it says so, with the one it trusts we are let in."""
    key = certificate.with_name("key.pem")
    wants = ("--tls-auth-clients", "yes", "--tls-ca-cert-file", str(certificate))
    server = tls_server(directory, certificate, port, *wants)
    try:
        address = replace(parse_url(f"rediss://localhost:{port}"), authority=str(certificate))
        error = await refused(address)
        assert (error.code, "PAYFLUX_REDIS_CERT" in str(error)) == ("redis_down", True)  # as of a proxy without Redis
        async with linked(replace(address, certificate=str(certificate), key=str(key))) as link:
            assert await link.call("PING") == b"PONG"
        async with linked(replace(address, certificate=str(directory / "both.pem"))) as link:
            assert await link.call("PING") == b"PONG"
    finally:
        server.stop()


async def test_a_certificate_that_is_none_is_named(directory: Path) -> None:
    """Whatever stands in the file, the setting is named, and nothing of what is in it."""
    file = directory / "x.pem"
    file.write_text("secret")
    for address, setting in (
        (RedisAddress(tls=True, authority=str(file)), "PAYFLUX_REDIS_CA"),
        (RedisAddress(tls=True, certificate=str(file)), "PAYFLUX_REDIS_CERT"),
    ):
        error = await refused(address)
        assert (error.code, setting in str(error), "secret" in str(error)) == ("redis_tls", True, False)


async def test_a_new_password_is_read_from_its_file(tcp_server: Server, directory: Path) -> None:
    """For each connection anew; what cannot be read then leaves the address as it was."""
    file = directory / "url"
    old = replace(parse_url(f"unix://:{quote(PASSWORD, safe='')}@{tcp_server.path}"), file=str(file))
    async with linked(old) as link:
        assert await link.call("PING") == b"PONG"
    tcp_server.client.config_set("requirepass", "another")
    assert (await refused(old)).code == "redis_auth"
    file.write_text(f"unix://:another@{tcp_server.path}\n")
    async with linked(old) as link:
        assert await link.call("PING") == b"PONG"


async def test_tls_where_there_is_none_and_none_where_there_is(
    directory: Path, certificate: Path, port: int, tcp_server: Server
) -> None:
    """Each says that it is about TLS, or may be; none asks whether Redis is running."""
    assert (await refused(RedisAddress("127.0.0.1", port, tls=True))).code == "redis_tls"
    tcp_server.stop()
    (directory / "tls").mkdir()
    server = tls_server(directory / "tls", certificate, port)
    try:
        assert "rediss://" in str(await refused(RedisAddress("127.0.0.1", port)))
    finally:
        server.stop()


@pytest.fixture
def sentinel(directory: Path, port: int) -> Iterator[int]:
    """The port of a Sentinel that watches nothing."""
    config = directory / "sentinel.conf"
    config.write_text(f"port {port}\ndir {directory}\nlogfile {directory}/sentinel.log\n")
    command = [binary_or_skip("redis-7"), str(config), "--sentinel"]
    said = directory / "sentinel.log"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: said.exists() and b"Running mode=sentinel" in said.read_bytes(), "the Sentinel")
            yield port
        finally:
            process.kill()


async def test_a_sentinel_is_told_from_redis(sentinel: int) -> None:
    """It speaks the protocol, answers PING, and keeps nothing; whatever is wanted of it at first."""
    for address in (RedisAddress("127.0.0.1", sentinel), RedisAddress("127.0.0.1", sentinel, database=3)):
        assert (await refused(address)).code == "redis_sentinel"


async def test_protected_mode_is_told_from_a_wrong_password() -> None:
    """The server says so before it is asked anything, and hangs up: loopback alone is let in without a password."""
    said = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set\r\n"
    async with speaking(said) as address:
        assert (await refused(address)).code == "redis_protected"


async def test_a_node_of_a_cluster_without_our_slot_says_who_has_it(clustered_server: Server) -> None:
    """The reason names the other node; a cluster in which nobody has it is told as such."""
    client: Any = clustered_server.client
    async with linked(parse_url(clustered_server.url)) as link:
        slot = client.execute_command("CLUSTER", "KEYSLOT", STREAM)
        client.execute_command("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StreamUnavailable) as raised:
            await probe(link, KEYS)
        assert raised.value.code == "redis_cluster"


async def test_a_cluster_is_told_from_a_single_server(clustered_server: Server) -> None:
    """By what it says of itself, which a user may ask who may do next to nothing."""
    clustered_server.client.acl_setuser("app", enabled=True, nopass=True, commands=["+ping"])
    for url in (clustered_server.url, f"unix://app@{clustered_server.path}"):
        async with linked(parse_url(url)) as link:
            assert link.clustered is True
            assert await link.call("PING") == b"PONG"


async def test_a_single_server_is_no_cluster(every_server: Server) -> None:
    """The most usual one."""
    async with linked(parse_url(every_server.url)) as link:
        assert link.clustered is False


async def test_those_who_connect_at_once_get_one_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left open beside it; and where Redis is silent, one try tells all of them so."""
    dialler = Dialler(parse_url(server.url), "together")
    first, *others = await asyncio.gather(*(dialler.connect() for _ in range(5)))
    assert others == [first] * 4
    assert [one["name"] for one in server.client.client_list()].count("together") == 1
    dialler.close()
    monkeypatch.setattr("payflux.redis.dial.CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dialler = Dialler(RedisAddress("127.0.0.1", silent.getsockname()[1]), "together")
        for _ in range(2):
            refusals = await asyncio.gather(*(dialler.connect() for _ in range(5)), return_exceptions=True)
            assert [getattr(one, "code", "") for one in refusals] == ["redis_timeout"] * 5
            assert len({*map(id, refusals)}) == 1


async def test_a_dialler_connects_when_it_is_asked(server: Server) -> None:
    """Once, again after the connection was lost, and never by itself."""
    dialler = Dialler(parse_url(server.url), "test")
    with pytest.raises(StreamUnavailable):
        _ = dialler.link
    dialler.close()
    first = await dialler.connect()
    assert await dialler.connect() is dialler.link is first
    dialler.close()
    assert dialler.link.lost
    with pytest.raises(StreamUnavailable):
        await dialler.link.call("PING")
    second = await dialler.connect()
    assert second is dialler.link is not first
    assert await second.call("CLIENT", "GETNAME") == b"test"
    dialler.close()
