"""`/`: what answers here and where to look, for whoever opens a node's address in a browser."""

import html
from collections.abc import Collection, Iterator

import msgspec

from payflux.http.messages import Handler, Request, Respond, Response
from payflux.operations.openapi import PATH as OPENAPI_PATH
from payflux.operations.openapi import document

PATH = "/"
HTML = b"text/html; charset=utf-8"
WHAT = (
    "This is a node of PayFlux, a payment-traffic observability buffer: payment events in over HTTP, one JSON line out."
)
MORE = "`payflux --help` on its machine and the documentation that came with it say the rest."
HEADERS = ((b"Vary", b"Accept"), (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'"))
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>PayFlux</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em}}\
td{{padding:.1em 1.5em .1em 0;vertical-align:top}}</style>
</head>
<body>
<h1>PayFlux</h1>
<p>{what}</p>
<table>
{rows}</table>
<p>{more}</p>
</body>
</html>
"""


class FrontPage:
    """Says what is here: a page to a browser, JSON to anything else.

    Args:
        routes: every other path that is answered here, with its methods.
    """

    def __init__(self, routes: Collection[str]) -> None:
        told = list(_told(routes))
        paths = {f"{method} {path}": summary for method, path, summary in told}
        body = msgspec.json.format(msgspec.json.encode({"service": "payflux", "what": WHAT, "paths": paths}), indent=2)
        rows = "".join(
            f"<tr><td>{_name(*named)}</td><td>{html.escape(summary)}</td></tr>\n" for *named, summary in told
        )
        page = PAGE.format(what=html.escape(WHAT), rows=rows, more=html.escape(MORE))
        self._json = Response(200, body + b"\n", headers=HEADERS)
        self._html = Response(200, page.encode(), HTML, HEADERS)

    def admit(self, request: Request) -> None:
        """Let everybody in: it says nothing that `/openapi.json` does not."""
        del request

    def handle(self, request: Request, respond: Respond) -> None:
        """Answer in the form that was asked for."""
        respond(self._html if HTML[:9] in request.headers.get(b"accept", b"").lower() else self._json)


def _told(routes: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Method, path and summary of what is answered, questions first: those can be followed."""
    operations = [
        (method.upper(), path, operation["summary"])
        for path, item in document([*routes, OPENAPI_PATH])["paths"].items()
        for method, operation in item.items()
    ]
    return iter(sorted(operations, key=lambda one: one[0] != "GET"))


def _name(method: str, path: str) -> str:
    name = html.escape(f"{method} {path}")
    return f'<a href="{path}">{name}</a>' if method == "GET" and "{" not in path else name


def route(routes: Collection[str]) -> dict[str, dict[str, Handler]]:
    """The front page, beside the `routes` it names."""
    return {PATH: {"GET": FrontPage(routes)}}
