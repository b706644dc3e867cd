"""`payflux alerts`: try who is told of incidents, see what they would be told, and see to it that they are not."""

from cyclopts import App

from payflux.commands.alerts.muting import mute, mutes, unmute
from payflux.commands.alerts.sending import send_test, show

alerts = App(
    name="alerts",
    help="Receivers of incidents: try them, see their messages, mute what is known.\n\n"
    "`test` and `show` need the settings of the receivers, the others only those of Redis.",
)
alerts.command(send_test, name="test")
alerts.command(show)
alerts.command(mute)
alerts.command(unmute)
alerts.command(mutes)
