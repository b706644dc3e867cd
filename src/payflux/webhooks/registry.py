"""Which processors there are adapters for, and which of them a node takes webhooks of: those with secrets."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from payflux.errors import SettingsError
from payflux.event.rules import is_processor
from payflux.settings import Setting, Values, imported, integer, optional, words
from payflux.webhooks import Source
from payflux.webhooks.identifiers import HASH_KEY

ADAPTERS = {
    "stripe": "payflux.webhooks.processors.stripe:SOURCE",
    "adyen": "payflux.webhooks.processors.adyen:SOURCE",
    "checkout": "payflux.webhooks.processors.checkout:SOURCE",
    "paypal": "payflux.webhooks.processors.paypal:SOURCE",
    "braintree": "payflux.webhooks.processors.braintree:SOURCE",
}
"""The `Source` of every processor PayFlux knows, by its slug, which is also that of its events and its path."""

DECLARED = "payflux.webhooks.declared.adapter:source_of"
"""Makes a `Source` of a file; imported only where there is one."""

PREFIX = "/v1/webhooks/"
TOML = ".toml"


def path_of(processor: str) -> str:
    """Where the webhooks of a processor arrive."""
    return PREFIX + processor


@lru_cache(maxsize=256)
def load_source(target: str) -> Source:
    """Import a source, or read its file.

    Args:
        target: `module:Name`, of a `Source`; or the path of a file that ends in `.toml`.

    Raises:
        ValueError: it cannot be had, or is none; the text completes "expected …".
    """
    if target.endswith(TOML):
        return imported(DECLARED, "a source")(target)  # type: ignore[no-any-return]
    found = imported(target, "a source")
    if not isinstance(found, Source):
        raise ValueError(f"the Source of an adapter; {target} is none")  # noqa: TRY004 - a setting is wrong, not a call
    return found


def _own(text: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for entry in words(text):
        module = entry.partition("=")
        for name, target in ((module[0], module[2]),) if module[1] else _files(entry):
            if not is_processor(name) or name in (*ADAPTERS, *found):
                taken = ", ".join((*ADAPTERS, *found))
                raise ValueError(
                    f"name=module:Source or a folder of name.toml, each name a slug that is none of {taken}"
                )
            load_source(target)
            found[name] = target
    return tuple(found.items())


def _files(folder: str) -> list[tuple[str, str]]:
    """The names and paths of the adapters in a folder."""
    found = sorted(Path(folder).glob("*" + TOML)) if Path(folder).is_dir() else []
    if not found:
        raise ValueError(f"name=module:Source or a folder with name.toml in it; {folder!r} is none")
    return [(file.stem, str(file)) for file in found]


WEBHOOK_ADAPTERS = optional(
    "PAYFLUX_WEBHOOK_ADAPTERS",
    _own,
    "Adapters of your own, separated by commas: a folder with a file `name.toml` for each, or name=module:Source.",
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


def trial_secret(source: Source, secret: str) -> str:
    """A secret of the form a source wants, made of one that was made for all of them, where that has another form."""
    return secret if source.is_secret(secret) else f"dev:{secret}"


def settings() -> tuple[Setting[Any], ...]:
    """Those of every adapter PayFlux brings."""
    found: list[Setting[Any]] = [HASH_KEY, WEBHOOK_RPS, WEBHOOK_ADAPTERS]
    for name, target in ADAPTERS.items():
        found += [secrets_of(name), *load_source(target).settings]
    return tuple(found)


def further_settings(environ: Mapping[str, str]) -> tuple[Setting[Any], ...]:
    """Those of the adapters an environment names; none when it names them wrongly, which is said elsewhere."""
    try:
        own = further(environ)
    except ValueError:
        return ()
    return tuple(
        setting for name, target in own.items() for setting in (secrets_of(name), *load_source(target).settings)
    )


def further(environ: Mapping[str, str]) -> dict[str, str]:
    """The targets of the adapters an environment names, by their names.

    Raises:
        ValueError: it names them wrongly; the text completes "expected …".
    """
    text = environ.get(WEBHOOK_ADAPTERS.name, "").strip()
    return dict(WEBHOOK_ADAPTERS.parse(text) or ()) if text else {}


class Named(NamedTuple):
    """An adapter as a person names it: the slug of its processor, and its target."""

    processor: str
    target: str


def named(text: str, environ: Mapping[str, str]) -> Named:
    """The adapter that a person means.

    Args:
        text: a processor, one of PayFlux's or of the environment's; or the path of a file that ends in `.toml`.
        environ: names further adapters.

    Raises:
        SettingsError: there is none of this name, or its file has mistakes.
    """
    try:
        if text.endswith(TOML):
            load_source(text)
            return Named(Path(text).stem, text)
        known = ADAPTERS | further(environ)
    except ValueError as error:
        raise SettingsError([f"{text if text.endswith(TOML) else WEBHOOK_ADAPTERS.name}: expected {error}"]) from None
    if text not in known:
        raise SettingsError([f"{text}: expected one of {', '.join(known)}"])
    return Named(text, known[text])


def known(values: Values) -> dict[str, Source]:
    """Every adapter there is: those PayFlux brings, and those the settings name."""
    return {name: load_source(target) for name, target in (*ADAPTERS.items(), *(values[WEBHOOK_ADAPTERS] or ()))}


def described(processor: str) -> Source | None:
    """What is known of a processor's webhooks without any settings; None where these alone know it."""
    return load_source(ADAPTERS[processor]) if processor in ADAPTERS else None


def live(values: Values) -> dict[str, Source]:
    """The processors whose webhooks a node takes, in the order of their rates: those with secrets, or unsigned."""
    return {
        name: source for name, source in known(values).items() if source.unsigned or values.is_set(secrets_of(name))
    }


def check_webhooks(values: Values) -> Iterator[str]:
    """What is wrong with the webhooks: a line for each problem. No secret, no problem."""
    used = live(values)
    for name, source in used.items():
        setting = secrets_of(name)
        if not all(source.is_secret(secret) for secret in values[setting] or ()):
            yield f"{setting.name}={values.text(setting)!r}: expected {source.secret}"
        reason = "" if source.unsigned else f", as {setting.name} is set"
        yield from (f"{problem}{reason}" for problem in source.refuse(values))
    if used and values[HASH_KEY] is None:
        first = next(iter(used))
        reason = f"{first} is unsigned" if used[first].unsigned else f"{secrets_of(first).name} is set"
        yield f"{HASH_KEY.name}: expected a key for the hashes of identifiers, as {reason}"
