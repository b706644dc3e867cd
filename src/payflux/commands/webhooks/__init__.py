"""`payflux webhooks`: try, send, normalise and watch the webhooks of payment processors."""

from cyclopts import App

from payflux.commands.webhooks.convert import lint, normalize, try_
from payflux.commands.webhooks.sending import send
from payflux.commands.webhooks.watching import codes, status

webhooks = App(name="webhooks", help="Webhooks of payment processors: see docs/connect.")
webhooks.command(status)
webhooks.command(send)
webhooks.command(try_, name="try")
webhooks.command(lint)
webhooks.command(normalize)
webhooks.command(codes)
