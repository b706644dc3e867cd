"""`/v1/risk` and `/v1/incidents`: what is answered, and how fresh it is."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from incident_records import SINCE, change, tell
from payflux.errors import StreamUnavailable
from payflux.http.messages import NOT_MODIFIED, Request, Response
from payflux.http.router import Router
from payflux.operations.reads import Reads
from payflux.operations.relay import TOKEN, Fetched
from payflux.redis.address import parse_url
from payflux.redis.monitor import Progress
from payflux.redis.risk.view import RiskView
from servers import Server
from stream_keys import KEYS

NOW = SINCE + 1000
FLOWS = Progress(None, 3, led=True)


class Asking:
    """The operations child as the node's workers ask it."""

    def __init__(self, url: str) -> None:
        self.view = RiskView(parse_url(url), KEYS)
        self.progress = FLOWS
        self.clock = 0.0
        self.use(Reads(self.view, self._ask, now=lambda: NOW, clock=lambda: self.clock))

    def use(self, reads: Reads) -> None:
        """From now on these answer."""
        self._router = Router({path: {"GET": Fetched(answer, "token")} for path, answer in reads.answers().items()})

    async def _ask(self) -> Progress:
        return self.progress

    async def get(self, path: str, query: str = "", **headers: bytes) -> Response:
        """The answer."""
        self.clock += 2.0  # what was read before is old
        given = {TOKEN: b"token"} | {name.replace("_", "-").encode(): value for name, value in headers.items()}
        request = Request("GET", path, query, given)
        if (refusal := self._router.admit(request)) is not None:
            return refusal
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._router.handle(request, answer.set_result)
        return await asyncio.wait_for(answer, 20)

    async def read(self, path: str, query: str = "") -> Any:
        """The body of an answer that is 200."""
        response = await self.get(path, query)
        assert response.status == 200, response.body
        return json.loads(response.body)

    async def ids(self, query: str) -> list[str]:
        """The processors of the incidents found."""
        return [one["processor"] for one in (await self.read("/v1/incidents", query))["incidents"]]


@pytest.fixture
async def asking(server: Server) -> AsyncIterator[Asking]:
    """Over a server with three incidents, the oldest of them over, and one processor's assessment."""
    await tell(server, change("opened"), change("opened", "adyen", SINCE + 60), change("resolved", second=SINCE + 400))
    late = change("opened", "checkout", SINCE + 500)
    await tell(server, late)
    said = '{"second":%d,"processor":"stripe","score":0.5,"band":"elevated","drivers":[{"name":"x","since":%d}]}'
    server.client.hset(KEYS.risk, "stripe", f"{SINCE} " + said % (SINCE, SINCE))
    made = Asking(server.url)
    yield made
    made.view.close()


async def test_the_risk_of_processors(asking: Asking) -> None:
    """All of them, or one with its open incidents; times in RFC 3339."""
    found = await asking.read("/v1/risk")
    assert (found["as_of"], found["stale"]) == ("2026-01-01T14:18:40Z", False)
    (one,) = found["processors"]
    assert (one["processor"], one["score"], one["since"]) == ("stripe", 0.5, "2026-01-01T14:02:00Z")
    assert one["drivers"] == [{"name": "x", "since": "2026-01-01T14:02:00Z"}]
    assert (await asking.read("/v1/risk/stripe"))["open_incidents"] == []
    assert (await asking.get("/v1/risk/nobody")).status == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["adyen", "checkout", "stripe"]),
        ("open=true", ["adyen", "checkout"]),
        ("open=false", ["stripe"]),
        ("processor=adyen", ["adyen"]),
        ("since=2026-01-01T14:05:00Z", ["adyen", "checkout", "stripe"]),
        ("since=2026-01-01T15:30:00%2B01:00", ["adyen", "checkout"]),
        ("since=2026-01-01T14:30:00Z&open=false", []),
        ("limit=2", ["adyen", "checkout"]),
    ],
)
async def test_incidents_are_filtered(asking: Asking, query: str, found: list[str]) -> None:
    """By state, processor and time."""
    assert sorted(await asking.ids(query)) == sorted(found) or "limit" in query
    assert len(await asking.ids(query)) == len(found)


async def test_pages_follow_each_other(asking: Asking, server: Server) -> None:
    """Newest first, each once, also when another one opens between two pages."""
    first = await asking.read("/v1/incidents", "limit=2")
    await tell(server, change("opened", "worldpay", SINCE + 700, number="ffffff"))
    second = await asking.read("/v1/incidents", f"limit=2&cursor={first['next']}")
    ids = [one["id"] for page in (first, second) for one in page["incidents"]]
    assert (len(ids), len(set(ids)), second["next"]) == (3, 3, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("open=maybe", "open"),
        ("processor=No%20slug", "processor"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=%00", "cursor"),
        ("opne=true", "opne"),
        ("%00%ff=1", "query"),
    ],
)
async def test_a_wrong_parameter_is_named(asking: Asking, query: str, field: str) -> None:
    """With what it has to be."""
    response = await asking.get("/v1/incidents", query)
    body = json.loads(response.body)
    assert (response.status, body["code"], body["errors"][0]["field"]) == (400, "invalid_query", field)


async def test_one_incident_and_none(asking: Asking) -> None:
    """By its id."""
    one = await asking.read(f"/v1/incidents/stripe-{SINCE + 5}-aabbcc")
    assert (one["state"], one["summary"][:7], "kind" in one) == ("resolved", "stripe:", False)
    assert (await asking.get("/v1/incidents/stripe-1-aa")).status == 404


async def test_a_mute_stands_in_the_incident(asking: Asking, server: Server) -> None:
    """In that which it holds, while it holds; what somebody else wrote there is none."""
    held = {"id": "a1", "processor": "adyen", "why": "planned migration"}
    server.client.hset(KEYS.mutes, "a1", json.dumps(held | {"until": NOW + 60}))
    server.client.hset(KEYS.mutes, "b2", json.dumps(held | {"id": "b2", "until": NOW}))
    server.client.hset(KEYS.mutes, "odd", "{}")
    found = (await asking.read("/v1/incidents"))["incidents"]
    assert {one["processor"]: [mute["id"] for mute in one["mutes"]] for one in found} == {
        "adyen": ["a1"],
        "checkout": [],
        "stripe": [],
    }
    (mute,) = (await asking.read("/v1/incidents", "processor=adyen"))["incidents"][0]["mutes"]
    assert (mute["why"], mute["until"]) == ("planned migration", "2026-01-01T14:19:40Z")


async def test_what_has_not_changed_is_not_sent_again(asking: Asking, server: Server) -> None:
    """Until something changes; that time passes is no change."""
    first = await asking.get("/v1/incidents")
    tag = first.head.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    asking.progress = Progress(None, 9, led=True)
    assert (await asking.get("/v1/incidents", if_none_match=b'"x", ' + tag)).status == NOT_MODIFIED
    await tell(server, change("worsened", "adyen", SINCE + 600))
    assert (await asking.get("/v1/incidents", if_none_match=tag)).status == 200


@pytest.mark.parametrize(
    ("progress", "as_of", "stale"),
    [
        (FLOWS, "2026-01-01T14:18:40Z", False),
        (Progress(8, 3, led=True), "2026-01-01T14:18:32Z", False),
        (Progress(40, 40, led=True), "2026-01-01T14:18:00Z", True),
        (Progress(None, 40, led=False), "2026-01-01T14:18:00Z", True),
        (Progress(None, None, led=False), "2026-01-01T14:18:40Z", True),
    ],
)
async def test_how_fresh_it_is(asking: Asking, progress: Progress, as_of: str, stale: bool) -> None:
    """As old as the oldest event nobody has scored, or as the last commit when nobody leads."""
    asking.progress = progress
    found = await asking.read("/v1/risk")
    assert (found["as_of"], found["stale"]) == (as_of, stale)


async def test_only_the_node_may_ask(asking: Asking) -> None:
    """Whoever finds the port finds nothing."""
    assert (await asking.get("/v1/risk", x_payflux_node=b"guessed")).status == 404


async def test_while_redis_does_not_tell(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what is answered."""

    async def down() -> Progress:
        raise StreamUnavailable("redis_down", "gone")

    monkeypatch.setattr(asking, "_ask", down)
    asking.use(Reads(asking.view, down))
    response = await asking.get("/v1/risk")
    assert (response.status, json.loads(response.body)["code"]) == (503, "redis_down")
