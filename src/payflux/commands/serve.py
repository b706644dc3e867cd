"""`payflux serve`: the production command; its configuration is the environment alone."""

from typing import Annotated

from cyclopts import Parameter

from payflux.alerts.registry import ALERTS, used
from payflux.errors import SettingsError
from payflux.exporters.grouped import EXPORTERS, running
from payflux.node.settings import load_settings
from payflux.node.supervisor import supervise
from payflux.settings import Role
from payflux.terminal.ending import EXIT_USAGE, complain, refuse


def serve(*, role: Annotated[Role, Parameter(help="What this node does.")] = "all") -> int:
    """Run a node: events in over HTTP, one JSON line for each out on stdout. This is what `payflux` alone does.

    The configuration is the environment; `payflux config` shows it. Logs go to stderr as JSON lines.
    SIGTERM ends the node gracefully, SIGHUP reopens the export file.

    For example:

        PAYFLUX_API_KEY=secret PAYFLUX_CHECKOUT_ENABLED=false payflux serve > events.jsonl
        payflux serve --role ingest          # takes events in, another node exports them
        payflux serve --role consume         # scores, and exports to stdout or a file
        payflux serve --role export          # runs PAYFLUX_EXPORTERS and PAYFLUX_ALERTS

    Exit codes: 0 ended by a signal, 1 its parts kept dying, 2 it cannot start as configured.
    """
    try:
        values = load_settings()
    except SettingsError as error:
        return refuse(error)
    if role == "export" and not (running(values) or used(values)):
        missing = f"{EXPORTERS.name} or {ALERTS.name}"
        return complain(f"--role export: expected {missing}, or there is nothing to run", EXIT_USAGE)
    return supervise(values, role)
