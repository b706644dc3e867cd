"""The API key a command uses where none is given."""

from payflux.settings import environment


def keys_of_environment() -> list[str]:
    """The first key a node would take, if the environment names one."""
    environ = environment()
    text = environ.get("PAYFLUX_API_KEYS", "").strip() or environ.get("PAYFLUX_API_KEY", "")
    return [key.strip() for key in text.split(",") if key.strip()][:1]
