"""The command line: which commands there are. Each is imported when it is used."""

from collections.abc import Sequence

from cyclopts import App

from payflux import __version__
from payflux.commands.completion import completion_of

COMMANDS = {
    "serve": "payflux.commands.serve:serve",
    "dev": "payflux.commands.dev:dev",
    "simulate": "payflux.commands.simulate:simulate",
    "send": "payflux.commands.send:send",
    "bench": "payflux.commands.bench:bench",
    "backtest": "payflux.commands.backtest:backtest",
    "config": "payflux.commands.config:config",
    "check": "payflux.commands.check:check",
    "tail": "payflux.commands.tail:tail",
    "incidents": "payflux.commands.incidents:incidents",
    "alerts": "payflux.commands.alerts:alerts",
    "dlq": "payflux.commands.dlq:dlq",
    "replay": "payflux.commands.replay:replay",
    "webhooks": "payflux.commands.webhooks:webhooks",
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
app.command(completion_of(app), name="completion")


def run(tokens: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    if tokens and tokens[0] in HELP:
        for command in COMMANDS:
            app[command]
    code = app(tokens or ["serve"], result_action="return_value")
    return code if isinstance(code, int) else 0
