"""What replies of Redis mean: errors have one of the known codes, whatever they say."""

from collections.abc import Callable
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflux.redis.address import parse_url
from payflux.redis.replies import CODES, info, named, text, unavailable
from redis_links import linked
from servers import Server


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
        ("NOREPLICAS Not enough good replicas to write.", "redis_replicas"),
        (
            "ERR Error running script (call to f_1): @user_script:9: WRONGTYPE Operation against a key",
            "redis_wrong_type",
        ),
        ("NOAUTH Authentication required.", "redis_auth"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "redis_auth"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "redis_forbidden"),
        ("ERR ACL failure in script: User bob has no permissions to run the 'xadd' command", "redis_forbidden"),
        ("@user_script: 1: The user executing the script can't run this command or subcommand", "redis_forbidden"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "redis_readonly"),
        ("CLUSTERDOWN The cluster is down", "redis_cluster"),
        ("MOVED 8039 10.0.0.7:6379", "redis_cluster"),
        ("ERR AUTH <password> called without any password configured for the default user.", "redis_auth"),
        ("ERR DB index is out of range", "redis_database"),
        ("DENIED Redis is running in protected mode because protected mode is enabled", "redis_protected"),
        ("ERR The stream has exhausted the last possible ID, unable to add more items", "redis_exhausted"),
        ("BADVALUE seq is many (key {events_stream}:state)", "redis_bad_value"),
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
    assert error.key == ("{events_stream}:state" if "(key " in text else "")


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
        (lambda server: server.client.acl_setuser("default", enabled=True, commands=["-xadd"]), "redis_forbidden"),
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


def test_names_and_values_are_told_apart() -> None:
    """A reply that lists them in turn; an odd one is no such reply."""
    assert named([b"a", 1, b"b", None]) == {b"a": 1, b"b": None}
    with pytest.raises(ValueError, match="shorter"):
        named([b"a"])


@given(st.one_of(st.none(), st.integers(), st.binary(), st.builds(hiredis.ReplyError, st.text())))
def test_what_was_refused_is_an_empty_text(reply: Any) -> None:
    """Only a string is a text, in whatever encoding, and INFO has no fields where it was forbidden."""
    assert (text(reply) != "") == (isinstance(reply, bytes) and reply != b"")
    assert isinstance(reply, bytes) or info(reply) == {}


def test_the_fields_of_info() -> None:
    """Without its headings; a value may hold a colon."""
    assert info(b"# Server\r\nversion:7:1\r\n\r\nrole:master\r\n") == {"version": "7:1", "role": "master"}
