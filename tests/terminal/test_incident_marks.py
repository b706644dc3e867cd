"""Each incident that opened is marked once, before the first line after it."""

from typing import Any

from incident_records import SINCE, change, tell
from payflux.redis.address import parse_url
from payflux.redis.history import StreamHistory
from payflux.terminal.incident_marks import IncidentMarks
from servers import Server
from stream_keys import KEYS


async def test_marks_have_their_place(server: Server) -> None:
    """Before later lines, not before earlier ones; ends are none, and what is known is not read again."""
    await tell(server, change("opened"), change("opened", "adyen"), change("resolved", second=SINCE + 400))
    marked: list[dict[str, Any]] = []
    async with StreamHistory(parse_url(server.url), KEYS, "payflux-tail") as history:
        marks = IncidentMarks(history, marked.append, {"stripe", "paypal"})
        await marks.learn(b"0-0")
        marks.before(SINCE + 5)
        assert marked == []
        marks.before(SINCE + 6)
        assert [one["processor"] for one in marked] == ["stripe"]
        await tell(server, change("opened", "paypal", second=SINCE + 500))
        await marks.learn(b"0-0")
        marks.rest()
        marks.rest()
        assert [one["processor"] for one in marked] == ["stripe", "paypal"]
