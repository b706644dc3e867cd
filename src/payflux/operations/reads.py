"""`GET /v1/risk` and `GET /v1/incidents`: what is kept in Redis of risk and incidents, the same on every node."""

import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from payflux.errors import REMEDIES, StreamUnavailable
from payflux.http.messages import JSON, NOT_MODIFIED, Request, Response, problem
from payflux.operations.health import Remembered
from payflux.redis.monitor import Progress
from payflux.redis.risk.view import RiskView
from payflux.risk.incidents.mutes import muted_by
from payflux.risk.incidents.record import stamp

STALE_SECONDS = 15
"""What is older is said to be stale."""

LIMIT, MOST = 50, 200
"""Incidents in an answer, and the most one may ask for."""

CURSOR = re.compile(r"[0-9TZ:.-]{20}~[!-~]{1,200}")
END_OF_TIME = 253_402_214_400  # the last day that RFC 3339 can write
UNKNOWN_PROCESSOR = problem(404, "not_found", "nothing is known of such a processor")
UNKNOWN_INCIDENT = problem(404, "not_found", "there is no such incident, or no more")

READ_PATHS = ("/v1/risk", "/v1/risk/{processor}", "/v1/incidents", "/v1/incidents/{id}")

Record = dict[str, Any]
Build = Callable[[Request], Record | Response]
"""Makes what is answered to a request; a Response where that is not 200."""


class InvalidQuery(ValueError):
    """A parameter of the query is not what it has to be."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field, self.expected = field, expected

    @property
    def response(self) -> Response:
        """The answer that says so."""
        errors = [{"field": self.field, "code": "invalid_choice", "message": f"expected {self.expected}"}]
        return problem(400, "invalid_query", str(self), errors=errors)


class Page(NamedTuple):
    """Which incidents are asked for.

    Attributes:
        open: only those that are open, or only the others; None for both.
        processor: only this one's; empty for all.
        since: only what was open at or after this time, RFC 3339 in UTC.
        limit: at most so many.
        cursor: only what comes after it.
    """

    open: bool | None = None
    processor: str = ""
    since: str = ""
    limit: int = LIMIT
    cursor: tuple[str, ...] = ()

    def takes(self, record: Record) -> bool:
        """Whether an incident is among them."""
        is_open = record["state"] == "open"
        return (
            (self.open is None or is_open is self.open)
            and (not self.processor or record["processor"] == self.processor)
            and (is_open or (record["resolved"] or record["updated"]) >= self.since)
            and (not self.cursor or _order(record) < self.cursor)
        )


def page_of(query: str) -> Page:
    """What a query string asks for.

    Raises:
        InvalidQuery: naming the parameter.
    """
    page = Page()
    for name, value in parse_qsl(query, keep_blank_values=True):
        parse = PARAMETERS.get(name)
        if parse is None:
            raise InvalidQuery(_shown(name), "one of " + ", ".join(PARAMETERS))
        page = page._replace(**{name: parse(value)})
    return page


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[a-z_]{1,20}", name) else "query"


def _open(text: str) -> bool:
    if text not in {"true", "false"}:
        raise InvalidQuery("open", "true or false")
    return text == "true"


def _processor(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", text):
        raise InvalidQuery("processor", "the slug of a processor, such as stripe")
    return text


def _since(text: str) -> str:
    try:
        when: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise InvalidQuery("since", "a time with its offset, such as 2026-01-09T12:00:00Z")
    return stamp(min(max(int(when.timestamp()), 0), END_OF_TIME))


def _limit(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII) or int(text) > MOST:
        raise InvalidQuery("limit", f"1 to {MOST}")
    return int(text)


def _cursor(text: str) -> tuple[str, ...]:
    if not CURSOR.fullmatch(text):
        raise InvalidQuery("cursor", "the `next` of an earlier answer")
    return tuple(text.split("~", 1))


PARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "open": _open,
    "processor": _processor,
    "since": _since,
    "limit": _limit,
    "cursor": _cursor,
}
"""What may be asked of incidents."""


def _order(record: Record) -> tuple[str, str]:
    return record["opened"], record["id"]


class Reads:
    """Answers from Redis, which is asked once a second at most.

    Args:
        view: of risk and incidents.
        progress: tells whether what is in the stream comes out of it, or raises StreamUnavailable.
        now: Unix time in seconds.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        view: RiskView,
        progress: Callable[[], Awaitable[Progress]],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view, self._progress, self._now = view, progress, now
        self._known = Remembered(self._ask, clock)

    async def _ask(self) -> tuple[int, bool]:
        """Bring the view up to date: the time up to which it is, and whether that is long ago."""
        progress = await self._progress()
        await self._view.refresh()
        behind = (progress.waiting or 0) if progress.led else max(progress.since or 0, progress.waiting or 0)
        return int(self._now()) - behind, behind > STALE_SECONDS or (not progress.led and progress.since is None)

    def answers(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        """What makes the answer to a request, by path."""
        builds: tuple[Build, ...] = (self._risk, self._risk_of, self._incidents, self._incident)
        return {path: partial(self._answer, build) for path, build in zip(READ_PATHS, builds, strict=True)}

    async def _answer(self, build: Build, request: Request) -> Response:
        try:
            as_of, stale = await self._known.answer()
            found = build(request)
        except InvalidQuery as error:
            return error.response
        except StreamUnavailable as error:
            return unread(error.code)
        if isinstance(found, Response):
            return found
        tag = etag_of(found, stale=stale)
        headers = [(b"ETag", tag), (b"Cache-Control", b"private, no-cache")]
        if tag in request.headers.get(b"if-none-match", b"").replace(b" ", b"").split(b","):
            return Response(NOT_MODIFIED, headers=headers)
        body = {"as_of": stamp(as_of), "stale": stale} | found
        return Response(200, msgspec.json.encode(body), JSON, headers)

    def _risk(self, request: Request) -> Record:
        del request
        known = self._view.assessments
        return {"processors": [_assessment(known[name]) for name in sorted(known)]}

    def _risk_of(self, request: Request) -> Record | Response:
        name = _last(request)
        known = self._view.assessments.get(name)
        if known is None:
            return UNKNOWN_PROCESSOR
        own = [one["id"] for one in self._sorted() if one["processor"] == name and one["state"] == "open"]
        return _assessment(known) | {"open_incidents": own}

    def _incidents(self, request: Request) -> Record:
        page = page_of(request.query)
        wanted = [one for one in self._sorted() if page.takes(one)]
        shown = wanted[: page.limit]
        more = "~".join(_order(shown[-1])) if len(wanted) > len(shown) else None
        return {"incidents": [self._told(one) for one in shown], "next": more}

    def _incident(self, request: Request) -> Record | Response:
        found = self._view.incidents.get(_last(request))
        return UNKNOWN_INCIDENT if found is None else self._told(found)

    def _told(self, record: Record) -> Record:
        told = {name: value for name, value in record.items() if name not in {"kind", "change"}}
        return told | {"mutes": muted_by(record, self._view.mutes, self._now())}

    def _sorted(self) -> list[Record]:
        return sorted((one for one in self._view.incidents.values() if "opened" in one), key=_order, reverse=True)


def unread(code: str) -> Response:
    """The answer while Redis does not tell."""
    detail = f"Redis does not tell: {REMEDIES.get(code, 'see its log')}"
    return problem(503, code, detail, headers=[(b"Retry-After", b"1")])


def etag_of(found: Record, *, stale: bool) -> bytes:
    """The weak entity tag of an answer: the same while nothing but its time has changed."""
    return b'W/"%s"' % hashlib.sha256(msgspec.json.encode([found, stale])).hexdigest()[:32].encode()


def _last(request: Request) -> str:
    return unquote(request.path.rpartition("/")[2])


def _assessment(known: Record) -> Record:
    return {
        "processor": known["processor"],
        "score": known.get("score", 0.0),
        "band": known.get("band", "low"),
        "since": stamp(known["second"]),
        "learned": known.get("learned", False),
        "note": known.get("note", ""),
        "drivers": [one | {"since": stamp(one["since"])} for one in known.get("drivers", ())],
    }
