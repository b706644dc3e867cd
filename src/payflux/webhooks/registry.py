"""Which processors there are adapters for, and which of them a node takes webhooks of: those with secrets."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from payflux.event.rules import is_processor
from payflux.settings import Setting, Values, integer, optional, words
from payflux.webhooks import Source
from payflux.webhooks.identifiers import HASH_KEY

ADAPTERS = {
    "stripe": "payflux.webhooks.processors.stripe:SOURCE",
    "adyen": "payflux.webhooks.processors.adyen:SOURCE",
    "checkout": "payflux.webhooks.processors.checkout:SOURCE",
}
"""The `Source` of every processor PayFlux knows, by its slug, which is also that of its events and its path."""

PREFIX = "/v1/webhooks/"


def path_of(processor: str) -> str:
    """Where the webhooks of a processor arrive."""
    return PREFIX + processor


@lru_cache(maxsize=256)
def load_source(target: str) -> Source:
    """Import a source.

    Args:
        target: `module:Name`, of a `Source`.

    Raises:
        ValueError: it cannot be imported, or is none; the text completes "expected …".
    """
    module, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 - a module of somebody else's raises what it likes
        raise ValueError(f"a source that can be imported ({type(error).__name__}: {error})") from None
    if not isinstance(found, Source):
        raise ValueError(f"the Source of an adapter; {target} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return found


def _own(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for entry in words(text):
        name, equals, target = entry.partition("=")
        if not equals or not is_processor(name) or name in ADAPTERS:
            raise ValueError(f"name=module:Source, the name a slug that is none of {', '.join(ADAPTERS)}")
        load_source(target)
        found.append((name, target))
    return tuple(found)


WEBHOOK_ADAPTERS = optional(
    "PAYFLUX_WEBHOOK_ADAPTERS", _own, "Adapters of your own: name=module:Source, separated by commas."
)
WEBHOOK_RPS = Setting(
    "PAYFLUX_WEBHOOK_RPS", integer(1, 10_000_000), "1000", "Events per second that each processor's webhooks may bring."
)


@lru_cache(maxsize=256)
def secrets_of(processor: str) -> Setting[tuple[str, ...] | None]:
    """The variable that holds the secrets of a processor."""
    return optional(
        f"PAYFLUX_WEBHOOK_{processor.upper().replace('-', '_')}_SECRETS",
        words,
        f"Live secrets of {processor}'s webhooks, separated by commas; several at once allow rotation. Unset: "
        f"`{path_of(processor)}` is 404.",
        secret=True,
    )


def settings() -> tuple[Setting[Any], ...]:
    """Those of every adapter PayFlux brings."""
    found: list[Setting[Any]] = [HASH_KEY, WEBHOOK_RPS, WEBHOOK_ADAPTERS]
    for name, target in ADAPTERS.items():
        found += [secrets_of(name), *load_source(target).settings]
    return tuple(found)


def further_settings(environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """Those of the adapters an environment names; none when it names them wrongly, which is said elsewhere."""
    try:
        own = WEBHOOK_ADAPTERS.parse(environ.get(WEBHOOK_ADAPTERS.name, "").strip() or ",") or ()
    except ValueError:
        return ()
    return tuple(setting for name, target in own for setting in (secrets_of(name), *load_source(target).settings))


def known(values: Values) -> dict[str, Source]:
    """Every adapter there is: those PayFlux brings, and those the settings name."""
    return {name: load_source(target) for name, target in (*ADAPTERS.items(), *(values[WEBHOOK_ADAPTERS] or ()))}


def described(processor: str) -> Source | None:
    """What is known of a processor's webhooks without any settings; None where these alone know it."""
    return load_source(ADAPTERS[processor]) if processor in ADAPTERS else None


def live(values: Values) -> dict[str, Source]:
    """The processors whose webhooks a node takes, in the order of their rates: those with secrets."""
    return {name: source for name, source in known(values).items() if values.is_set(secrets_of(name))}


def check_webhooks(values: Values) -> Iterator[str]:
    """What is wrong with the webhooks: a line for each problem. No secret, no problem."""
    used = live(values)
    for name, source in used.items():
        setting = secrets_of(name)
        if not all(source.is_secret(secret) for secret in values[setting] or ()):
            yield f"{setting.name}={values.text(setting)!r}: expected {source.secret}"
        yield from (f"{problem}, as {setting.name} is set" for problem in source.refuse(values))
    if used and values[HASH_KEY] is None:
        first = secrets_of(next(iter(used))).name
        yield f"{HASH_KEY.name}: expected a key for the hashes of identifiers, as {first} is set"
