"""One connection to Redis: addresses, order of replies, what ends it and what an error reply means."""

import asyncio
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.errors import StreamUnavailable
from payflux.redis.address import RedisAddress, parse_url
from payflux.redis.link import CODES, RedisLink, connect, pack, unavailable
from real_parts import binary_or_skip
from servers import Server

PASSWORD = "s3cret/:@#%"
QUOTED = "s3cret%2F%3A%40%23%25"


@asynccontextmanager
async def linked(address: RedisAddress, client: str = "test") -> AsyncIterator[RedisLink]:
    """A connection, closed in the end."""
    link = await connect(address, client)
    try:
        yield link
    finally:
        link.close()


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


async def refused(address: RedisAddress) -> StreamUnavailable:
    """Why a connection to it cannot be had."""
    with pytest.raises(StreamUnavailable) as raised:
        await connect(address, "test")
    return raised.value


# connecting


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
    ).code == "redis_error"


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
    monkeypatch.setattr("payflux.redis.link.CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await refused(RedisAddress("127.0.0.1", silent.getsockname()[1]))
    assert error.code == "redis_timeout"


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[RedisAddress]:
    """A server that answers the first thing it is told so, or hangs up at once when the answer is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, suppress(OSError):
                peer.settimeout(5)
                if answer:
                    peer.recv(100)
                    peer.sendall(answer)
                    peer.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        yield RedisAddress("127.0.0.1", listener.getsockname()[1])
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


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
    """A self-signed certificate of localhost, with its key beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"),
            *("-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return directory / "cert.pem"


def tls_server(directory: Path, certificate: Path, port: int) -> Server:
    """A server with TLS; skips the test where no binary can."""
    binary = binary_or_skip("redis-7")
    options = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-auth-clients", "no")
    key = ("--tls-key-file", str(certificate.with_name("key.pem")))
    ldd = shutil.which("ldd")
    if ldd is None or b"libssl" not in subprocess.run([ldd, binary], capture_output=True).stdout:
        pytest.skip("this redis-server has no TLS")
    return Server(binary, directory, *options, *key)


async def test_tls_is_verified(directory: Path, certificate: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate nobody vouches for is refused, a trusted one is taken for the name it is for alone."""
    server = tls_server(directory, certificate, port)
    try:
        address = parse_url(f"rediss://localhost:{port}")
        error = await refused(address)
        assert error.code == "redis_down"
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with linked(address) as link:
            assert await link.call("PING") == b"PONG"
        assert (await refused(RedisAddress("127.0.0.1", port, tls=True))).code == "redis_down"
    finally:
        server.stop()


# talking


async def test_replies_come_in_order(every_server: Server) -> None:
    """Each of many concurrent callers gets its own reply, whatever the others send, errors included."""
    async with linked(parse_url(every_server.url)) as link:

        async def one(number: int) -> None:
            if number % 7 == 0:
                with pytest.raises(hiredis.ReplyError):
                    await link.call("NONSENSE")
            text = b"%d " % number * (number % 50) * (number % 40)
            assert await link.call("ECHO", text) == text
            assert await link.calls([("ECHO", number), ("ECHO", b"x")]) == [b"%d" % number, b"x"]

        await asyncio.gather(*(one(number) for number in range(300)))


async def test_any_bytes_go_over_the_wire(server: Server) -> None:
    """Commands are length-prefixed: nothing in an argument is read as protocol."""
    async with linked(parse_url(server.url)) as link:
        for value in (b"", b"\r\n$-1\r\n*3\r\n", bytes(range(256)), "é ", 2**63 - 1, -1):
            sent = str(value).encode() if isinstance(value, int | str) else value
            assert await link.call("ECHO", value) == sent


@given(st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40), st.integers(0, 2**63 - 1)), min_size=1))
def test_packing_is_the_protocol(command: list[str | bytes | int]) -> None:
    """An array of bulk strings, as the protocol says."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    wanted = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    assert pack(command) == wanted


async def test_the_first_error_of_several_is_raised(server: Server) -> None:
    """The other replies are taken off the connection all the same."""
    async with linked(parse_url(server.url)) as link:
        with pytest.raises(hiredis.ReplyError, match="NONSENSE"):
            await link.calls([("ECHO", "1"), ("NONSENSE",), ("INCR",), ("ECHO", "2")])
        assert await link.call("ECHO", "3") == b"3"


async def test_a_cancelled_call_keeps_the_order(server: Server) -> None:
    """The reply of a caller who has gone is nobody else's."""
    async with linked(parse_url(server.url)) as link:
        gone = asyncio.ensure_future(link.call("ECHO", "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await link.call("ECHO", "here") == b"here"
        assert gone.cancelled()


async def test_a_late_reply_ends_the_connection(server: Server) -> None:
    """After a time-out everyone who waits is told, and no later reply can be taken for an earlier one."""
    lost: list[bool] = []
    link = await connect(parse_url(server.url), "test", lambda: lost.append(True))
    server.process.send_signal(signal.SIGSTOP)
    try:
        patient = asyncio.ensure_future(link.call("ECHO", "1", timeout=30))
        results = await asyncio.gather(patient, link.call("ECHO", "2", timeout=0.05), return_exceptions=True)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert [type(result) for result in results] == [StreamUnavailable] * 2
    assert {result.code for result in results if isinstance(result, StreamUnavailable)} == {"redis_timeout"}
    assert link.lost
    assert lost == [True]
    with pytest.raises(StreamUnavailable):
        await link.call("ECHO", "3")
    link.close()
    assert lost == [True]


async def test_a_killed_server_fails_all_who_wait(server: Server) -> None:
    """Everyone is told that the connection was lost, also who asks afterwards."""
    async with linked(parse_url(server.url)) as link:
        waiting = [asyncio.ensure_future(link.call("BLPOP", "nothing", 0, timeout=30)) for _ in range(5)]
        await asyncio.sleep(0)
        server.kill()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(result, "code", result) for result in results] == ["redis_down"] * 5
        settled: list[Any] = []
        link.send(pack(["PING"]), settled.append)
        assert [error.code for error in settled] == ["redis_down"]


async def test_a_reply_nobody_asked_for_ends_the_connection() -> None:
    """A server out of step is not believed any more."""
    async with speaking(b"+OK\r\n+HELLO\r\n+MORE\r\n") as address:
        link = await connect(address, "test")
        assert link.lost


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n", b"*-5\r\n", b"$99999999999999999999\r\n"])
async def test_a_server_that_speaks_something_else_is_refused(junk: bytes) -> None:
    """An answer that is not the protocol is unavailability, no defect of ours, and nobody waits for ever."""
    defects: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    async with speaking(junk) as address:
        error = await refused(address)
    assert error.code == "redis_error"
    assert "Redis" in str(error)
    assert defects == []


# what errors mean


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("READONLY You can't write against a read only replica.", "redis_readonly"),
        ("@user_script: 1: -READONLY You can't write against a read only replica.\r\n", "redis_readonly"),
        (
            "ERR Error running script (call to f_1): @user_script:70: @user_script: 70: -OOM command not allowed",
            "redis_oom",
        ),
        ("OOM command not allowed when used memory > 'maxmemory'. script: 5b, on @user_script:1.", "redis_oom"),
        ("LOADING Redis is loading the dataset in memory", "redis_loading"),
        ("BUSY Redis is busy running a script.", "redis_loading"),
        ("BUSYGROUP Consumer Group name already exists", "redis_error"),
        ("MISCONF Redis is configured to save RDB snapshots", "redis_misconf"),
        ("@user_script: 1: -MISCONF Errors writing to the AOF file: No space left on device\r\n", "redis_misconf"),
        ("NOREPLICAS Not enough good replicas to write.", "redis_misconf"),
        (
            "ERR Error running script (call to f_1): @user_script:9: WRONGTYPE Operation against a key",
            "redis_wrong_type",
        ),
        ("NOAUTH Authentication required.", "redis_auth"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "redis_auth"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "redis_auth"),
        ("ERR ACL failure in script: User bob has no permissions to run the 'xadd' command", "redis_auth"),
        ("@user_script: 1: The user executing the script can't run this command or subcommand", "redis_auth"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "redis_down"),
        ("CLUSTERDOWN The cluster is down", "redis_down"),
        ("ERR unknown command", "redis_error"),
        ("ERR no OOMPH here, nothing READONLYish", "redis_error"),
        ("", "redis_error"),
    ],
)
def test_an_error_reply_has_a_code(text: str, code: str) -> None:
    """From the start of the reply, or from inside the text a script's error is wrapped in."""
    error = unavailable(hiredis.ReplyError(text))
    assert (error.code, str(error)) == (code, text)
    assert unavailable(error) is error


@given(st.text())
def test_the_codes_are_bounded(text: str) -> None:
    """Whatever Redis says becomes one of the known codes."""
    assert unavailable(hiredis.ReplyError(text)).code in {*CODES.values(), "redis_error"}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda server: server.client.config_set("maxmemory", 1), "redis_oom"),
        (lambda server: server.client.replicaof("127.0.0.1", "1"), "redis_readonly"),
        (lambda server: server.client.set("s", "x"), "redis_wrong_type"),
        (lambda server: server.client.acl_setuser("default", enabled=True, commands=["-xadd"]), "redis_auth"),
    ],
)
async def test_a_scripts_error_has_the_code_of_its_cause(
    every_server: Server, spoil: Callable[[Server], object], code: str
) -> None:
    """What each server really answers, to a script that stops at it and to one that hands it back."""
    async with linked(parse_url(every_server.url)) as link:
        spoil(every_server)
        with pytest.raises(hiredis.ReplyError) as raised:
            await link.call("EVAL", "return redis.call('XADD', KEYS[1], '*', 'a', 1)", 1, "s")
        assert unavailable(raised.value).code == code
        handed = await link.call("EVAL", "return redis.pcall('XADD', KEYS[1], '*', 'a', 1).err", 1, "s")
        assert unavailable(hiredis.ReplyError(handed.decode())).code == code
