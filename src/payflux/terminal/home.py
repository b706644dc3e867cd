"""Where `payflux dev` keeps its data and keys, which other commands look for there."""

from pathlib import Path

from payflux.settings import environment

WEBHOOK_FILE = "webhook-secret"
"""The secret that webhooks to it are signed with."""


def dev_home() -> Path:
    """The directory that `payflux dev` uses unless it is told another one.

    Raises:
        RuntimeError: no HOME is set, and the user has none.
    """
    state = environment().get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "payflux"


def webhook_secret_of_dev() -> str:
    """The secret of webhooks that `payflux dev` made here; empty when there is none that can be read."""
    try:
        return (dev_home() / WEBHOOK_FILE).read_text().strip()
    except (OSError, RuntimeError, ValueError):
        return ""
