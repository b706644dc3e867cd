"""`payflux dlq`: dead letters: look at them, put them back into the stream, delete them."""

from cyclopts import App

from payflux.commands.dlq.repair import purge, requeue
from payflux.commands.dlq.view import list_, show

dlq = App(
    name="dlq",
    help="Dead letters: entries that could not be processed, kept byte by byte in the stream events_stream_dlq.\n\n"
    "Only Redis must be configured (REDIS_ADDR or REDIS_URL).",
)
dlq.command(list_, name="list")
dlq.command(show)
dlq.command(requeue)
dlq.command(purge)
