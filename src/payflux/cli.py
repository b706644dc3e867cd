"""The command line: which commands there are. Each is imported when it is used."""

from collections.abc import Sequence

from cyclopts import App

from payflux import __version__

COMMANDS = {
    "serve": "payflux.commands.serve:serve",
    "dev": "payflux.commands.dev:dev",
    "simulate": "payflux.commands.simulate:simulate",
    "config": "payflux.commands.config:config",
}
"""Every command, as `module:function`."""

HELP = ("--help", "-h")

app = App(
    name="payflux",
    version=__version__,
    help="A payment-traffic observability buffer: events in over HTTP, ordered and de-duplicated in a Redis Stream, "
    "scored, one JSON line out. Without a command: `payflux serve`.",
)
for name, target in COMMANDS.items():
    app.command(target, name=name)


def run(tokens: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    if tokens and tokens[0] in HELP:
        for command in COMMANDS:
            app[command]  # the overview shows each one's first sentence, which takes importing it
    code = app(tokens or ["serve"], result_action="return_value")
    return code if isinstance(code, int) else 0
