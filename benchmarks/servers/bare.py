"""A floor, started with a port: PayFlux's HTTP server with a handler that answers 202 to everything."""

import asyncio
import gc
import socket
import sys

import uvloop

from payflux.http.messages import Request, Respond, Response
from payflux.http.server import HttpServer

ACCEPTED = Response(202, b'{"status":"accepted"}')


class Accept:
    """Accepts everything, and forgets it."""

    def admit(self, request: Request) -> Response | None:
        """Let it in."""

    def handle(self, request: Request, respond: Respond) -> None:  # noqa: ARG002 - that is the point
        """Answer."""
        respond(ACCEPTED)


async def serve(port: int) -> None:
    """Until it is killed."""
    await HttpServer(Accept()).start(socket.create_server(("127.0.0.1", port)))
    gc.freeze()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
