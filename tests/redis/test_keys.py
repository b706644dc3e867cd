"""Names of keys: those people know stay, each is of one stream and group, and a Redis Cluster takes them together."""

from importlib.resources import files
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consumers import consuming, entries, ids_of
from payflux.redis.address import parse_url
from payflux.redis.dead_letters import DeadLetters
from payflux.redis.keys import Keys
from payflux.redis.monitor import RedisMonitor
from payflux.stream.deliveries import Backlog
from payflux.stream.protocol import GROUP
from servers import Server
from streams import fill

KEYS = Keys()
NAMES = st.text("abcz-_09", min_size=1, max_size=8)


def all_of(keys: Keys, group: str, name: str) -> list[str]:
    """Every key there is."""
    own = [keys.stream, keys.state, keys.marks, keys.dead_letters(clustered=False), keys.dead_letters(clustered=True)]
    own += [keys.incidents, keys.incidents_open, keys.incidents_told, keys.incidents_verdicts]
    return [*own, keys.lease(group), keys.ledger(group), keys.consumer(group, name)]


def test_the_names_people_know_stay() -> None:
    """Dashboards, runbooks and consumers of others hold them."""
    assert all_of(KEYS, GROUP, "one") == [
        *("events_stream", "{events_stream}:state", "{events_stream}:marks:", "events_stream_dlq"),
        *("{events_stream}:dlq", "{events_stream}:incidents", "{events_stream}:incidents:open"),
        *("{events_stream}:incidents:told", "{events_stream}:incidents:verdicts"),
        *("{events_stream}:lease", "{events_stream}:ledger", "{events_stream}:consumer:one"),
    ]
    assert all_of(KEYS, "kafka", "one")[9:] == [
        *("{events_stream}:lease:kafka", "{events_stream}:ledger:kafka", "{events_stream}:consumer-of:kafka:one"),
    ]


def test_each_is_in_the_catalogue() -> None:
    """The header of the append script is where people look what a key holds."""
    header = files("payflux.redis").joinpath("scripts", "append.lua").read_text().partition("\nlocal ")[0]
    for key in (*all_of(KEYS, GROUP, "<name>"), *all_of(KEYS, "<group>", "<name>")):
        assert f" {key}" in header, key


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=2, unique=True))
def test_no_two_groups_share_a_key(members: list[tuple[str, str]]) -> None:
    """Whatever they and their consumers are called; one group's members share its lease and ledger alone."""
    (one, name), (other, another) = members
    held, others = all_of(KEYS, one, name)[9:], all_of(KEYS, other, another)[9:]
    assert len({*held, *others}) == (4 if one == other else 6)


def test_no_two_streams_share_a_key() -> None:
    """Nor does one take what is another's for its own."""
    every = [
        all_of(Keys(name), group, "one")
        for name in ("events_stream", "events", "events_stream_dlq2")
        for group in (GROUP, "x")
    ]
    for one, other in combinations([every[0], every[2], every[4]], 2):
        assert not {*one} & {*other}
    assert all(KEYS.owns(key) for key in (*every[0], *every[1], "{events_stream}:marks:1:000", "{events_stream}:later"))
    assert not any(KEYS.owns(key) for key in (*every[2], *every[3], *every[4], "events_stream_copy", "mine"))


async def test_a_cluster_takes_every_script(clustered_server: Server) -> None:
    """All keys of a script are in one slot there: append, commit, dead letter, requeue, backlog and leaving work."""
    client: Any = clustered_server.client
    keys = [key for key in all_of(KEYS, "kafka", "one") if key != KEYS.dead_letters(clustered=False)]
    assert len({client.execute_command("CLUSTER", "KEYSLOT", key) for key in keys}) == 1
    await fill(clustered_server, 4)
    async with consuming(clustered_server) as (one,):
        assert await one.reader.claim_name() is True
        found = await one.reader.follow(b"0-0", 3, 0.1)
        one.ledger.last_id, one.ledger.last_seq = found[-1].id, 3
        await one.reader.commit(one.ledger, b"0-0", 3, 0, ids_of(found[1:]))
        assert await one.ack(found[1:2], expected=2) == b"1"
        assert await one.reader.dead_letter(found[2], "invalid_json", one.ledger) is True
        ((_, fields),) = entries(clustered_server, "{events_stream}:dlq")
        assert fields[b"data"] == found[2].data
        monitor = RedisMonitor(parse_url(clustered_server.url), KEYS, GROUP)
        assert await monitor.backlog() == Backlog(length=4, pending=0, lag=1, dead=1)
        monitor.close()
        async with DeadLetters(parse_url(clustered_server.url), KEYS) as dead:
            (letter,) = [letter async for letter in dead.between(b"0-0", await dead.newest())]
            assert await dead.requeue(letter.id) == 5
        assert await one.reader.unread_tail(one.ledger) is None
    assert client.exists(KEYS.lease(GROUP)) == 0
