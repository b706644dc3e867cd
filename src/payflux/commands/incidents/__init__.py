"""`payflux incidents`: what is wrong at which processor, since when and how bad, and whether that was true."""

from cyclopts import App

from payflux.commands.incidents.annotate import annotate
from payflux.commands.incidents.listing import list_
from payflux.commands.incidents.show import show

incidents = App(
    name="incidents",
    help="Incidents: what is wrong at which processor, where, since when and how bad.\n\n"
    "Only Redis must be configured (REDIS_ADDR or REDIS_URL).",
)
incidents.command(list_, name="list")
incidents.command(show)
incidents.command(annotate)
