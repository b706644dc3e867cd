"""The command line: which commands there are. Each is imported when it is used."""

from cyclopts import App

from payflux import __version__

COMMANDS = {
    "serve": "payflux.commands.serve:serve",
    "dev": "payflux.commands.dev:dev",
    "simulate": "payflux.commands.simulate:simulate",
    "config": "payflux.commands.config:config",
}
"""Every command, as `module:function`."""

app = App(
    name="payflux",
    version=__version__,
    help="A payment-traffic observability buffer: events in over HTTP, ordered and de-duplicated in a Redis Stream, "
    "scored, one JSON line out. Without a command: `payflux serve`.",
)
for name, target in COMMANDS.items():
    app.command(target, name=name)
