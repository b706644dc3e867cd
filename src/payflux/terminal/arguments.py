"""What commands are told: options that several of them have, and the environment where no option is given."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from payflux.errors import SettingsError
from payflux.event.intake import BATCH_EVENTS
from payflux.event.outcome import OUTCOMES
from payflux.ingest.gatekeeper import API_KEY, API_KEYS, keys_of
from payflux.node.settings import SETTINGS
from payflux.redis.address import SETTINGS as OF_REDIS
from payflux.redis.address import check_address
from payflux.redis.entries import parse_position
from payflux.risk.scoring import SETTINGS as RISK_SETTINGS
from payflux.settings import Check, Setting, Values, environment, load, secret_in, variables, words
from payflux.stream.deliveries import entry_key

Key = Annotated[
    str | None, Parameter(help="API key; by default the first of `PAYFLUX_API_KEYS`, or `PAYFLUX_API_KEY`.")
]

KeyFile = Annotated[
    str | None, Parameter(help="File that holds the key, which `--key` would show to all who list processes.")
]


def redis_settings(further: Sequence[Setting[Any]] = (), checks: Sequence[Check] = ()) -> Values:
    """Read what concerns Redis, outcomes and scoring: an operator's shell needs no key of a node.

    Args:
        further: settings that the command needs beside these.
        checks: rules over them.

    Raises:
        SettingsError: naming every problem.
    """
    declared: tuple[Setting[Any], ...] = (*OF_REDIS, OUTCOMES, *RISK_SETTINGS, *further)
    others = set(variables(SETTINGS)) - set(variables(declared))
    environ = {name: value for name, value in environment().items() if name not in others}
    return load(declared, environ, (check_address, *checks))


def keys_to_send_with(key: str | None, key_file: str | None) -> list[str]:
    """The key to send with, of `--key`, of the first in the file of `--key-file`, or of the environment; none at all.

    Raises:
        SettingsError: both options are given, or the file cannot be read.
    """
    if key is not None and key_file is not None:
        raise SettingsError(["--key and --key-file: expected one of the two"])
    if key_file is None:
        return [key] if key is not None else keys_of_environment()
    try:
        return list(words(secret_in(key_file))[:1])
    except ValueError as error:
        raise SettingsError([f"--key-file {key_file}: expected {error}"]) from None


def keys_of_environment() -> list[str]:
    """The first key a node would take, if the environment names one."""
    environ = environment()
    try:
        values = load((API_KEYS, API_KEY), {name: environ.get(name, "") for name in variables((API_KEYS, API_KEY))})
    except SettingsError:
        return []
    return list(keys_of(values))[:1]


def secret_to_use(option: str, given: str | None, file: str | None, setting: Setting[Any]) -> str:
    """A secret of `--OPTION`, of the file of `--OPTION-file`, or the first of a setting; empty without any.

    Args:
        option: its name without dashes.
        given: what was given with it, which all who list processes see.
        file: what was given as its file.
        setting: of the environment, or a file that the environment names.

    Raises:
        SettingsError: both options are given, or a file cannot be read.
    """
    if given is not None and file is not None:
        raise SettingsError([f"--{option} and --{option}-file: expected one of the two"])
    if file is None and given is not None:
        return given
    try:
        if file is not None:
            return secret_in(file)
    except ValueError as error:
        raise SettingsError([f"--{option}-file {file}: expected {error}"]) from None
    environ = environment()
    found = load((setting,), {name: environ.get(name, "") for name in variables((setting,))})[setting]
    return (found if isinstance(found, str) else next(iter(found), "")) if found else ""


def key_problems(keys: Sequence[str]) -> Iterator[str]:
    """One line for what is wrong with the keys to send with."""
    if not keys:
        yield "--key, --key-file: none given, and neither PAYFLUX_API_KEYS nor PAYFLUX_API_KEY is set"
    elif not all(key and key.isascii() and key.isprintable() and " " not in key for key in keys):
        yield "--key: expected printable ASCII without blanks"


def batch_problems(batch: int) -> Iterator[str]:
    """One line when `--batch` is not a number of events a batch may have."""
    if not 1 <= batch <= BATCH_EVENTS:
        yield f"--batch {batch}: expected 1 to {BATCH_EVENTS:,}"


def range_problems(start: str | None, end: str | None, last: str = "--to") -> Iterator[str]:
    """One line for each thing wrong with the arguments of `--from` and of the option that names the end."""
    found = []
    for option, text in (("--from", start), (last, end)):
        if text is not None:
            try:
                found.append(entry_key(parse_position(text, end=option == last)))
            except ValueError as error:
                yield f"{option} {text}: expected {error}"
    if len(found) == 2 and found[0] > found[1]:
        yield f"--from {start} {last} {end}: expected the beginning before the end"
