"""The registry: secrets, adapters of one's own, and what stops the start."""

from pathlib import Path

import pytest

from payflux.errors import SettingsError
from payflux.node.settings import SETTINGS
from payflux.settings import Values, load
from payflux.webhooks.registry import (
    ADAPTERS,
    WEBHOOK_ADAPTERS,
    check_webhooks,
    described,
    further_settings,
    known,
    live,
    named,
    path_of,
    secrets_of,
)
from receiving import FILES, HASH_KEY, SECRETS, environ, values_of

OWN = {"PAYFLUX_WEBHOOK_ADAPTERS": "acme=payflux.webhooks.processors.stripe:SOURCE"}


def given(environ: dict[str, str]) -> Values:
    """The settings as a node reads them."""
    return load((*SETTINGS, *further_settings(environ)), environ, (check_webhooks,))


def problems(environ: dict[str, str]) -> list[str]:
    """What stops the start."""
    with pytest.raises(SettingsError) as caught:
        given(environ)
    return list(caught.value.problems)


def test_a_processor_with_secrets_is_live() -> None:
    """And no other one."""
    assert list(live(values_of("adyen"))) == ["adyen"]
    assert list(live(values_of())) == []
    assert set(known(values_of())) == set(ADAPTERS)
    assert path_of("adyen") == "/v1/webhooks/adyen"
    assert secrets_of("a-b").name == "PAYFLUX_WEBHOOK_A_B_SECRETS"


def test_without_a_key_of_hashes_the_start_is_refused() -> None:
    """As soon as one processor has a secret; a short key is none."""
    without = environ("stripe") | {"PAYFLUX_HASH_KEY": ""}
    assert problems(without) == [
        "PAYFLUX_HASH_KEY: expected a key for the hashes of identifiers, as PAYFLUX_WEBHOOK_STRIPE_SECRETS is set"
    ]
    (line,) = problems(environ("stripe") | {"PAYFLUX_HASH_KEY": "short"})
    assert "at least 16 printable characters" in line
    assert "short" not in line.partition(":")[0]
    assert given(environ() | {"PAYFLUX_HASH_KEY": ""}) is not None


def test_a_secret_that_can_be_none_is_refused_and_never_shown() -> None:
    """With what was expected in its place."""
    (line,) = problems(environ("adyen") | {"PAYFLUX_WEBHOOK_ADYEN_SECRETS": "a secret that is no hex"})
    assert line == "PAYFLUX_WEBHOOK_ADYEN_SECRETS='****ex': expected an HMAC key in hex, as the Customer Area shows it"


def test_an_adapter_of_ones_own_comes_in_by_the_same_door() -> None:
    """With secrets, a path and a rate like those of all the others."""
    secrets = {"PAYFLUX_WEBHOOK_ACME_SECRETS": "one,two", "PAYFLUX_HASH_KEY": HASH_KEY}
    values = given(OWN | secrets)
    assert list(live(values)) == ["acme"]
    assert values[secrets_of("acme")] == ("one", "two")
    assert live(values)["acme"] is described("stripe")
    assert described("acme") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme", "a folder with name.toml in it; 'acme' is none"),
        ("Acme=payflux.webhooks.processors.stripe:SOURCE", "a slug"),
        ("stripe=payflux.webhooks.processors.stripe:SOURCE", "none of stripe"),
        ("acme=no.such.module:SOURCE", "ModuleNotFoundError"),
        ("acme=payflux.webhooks.processors.stripe:Stripe", "the Source of an adapter"),
    ],
)
def test_what_is_no_adapter_is_refused(text: str, expected: str) -> None:
    """In words, and once: its secrets are then no variable anybody knows."""
    with pytest.raises(ValueError, match=expected):
        WEBHOOK_ADAPTERS.parse(text)
    assert further_settings({"PAYFLUX_WEBHOOK_ADAPTERS": text}) == ()


FOLDER = str(FILES[0].parent)


def test_a_folder_of_files_comes_in_by_the_same_door(tmp_path: Path) -> None:
    """Each by the name of its file, beside modules; a mistake in one of them stops the start."""
    secrets = {"PAYFLUX_WEBHOOK_MOLLIE_SECRETS": "one,two", "PAYFLUX_HASH_KEY": HASH_KEY}
    both = f"{FOLDER},{OWN['PAYFLUX_WEBHOOK_ADAPTERS']}"
    values = given({"PAYFLUX_WEBHOOK_ADAPTERS": both} | secrets)
    assert list(live(values)) == ["mollie"]
    assert {"acme", "square", "stripe"} <= set(known(values))
    (tmp_path / "acme.toml").write_text('help = "x"\n')
    (line, *_) = problems({"PAYFLUX_WEBHOOK_ADAPTERS": str(tmp_path)} | secrets)
    assert "expected an adapter without mistakes" in line
    (tmp_path / "acme.toml").rename(tmp_path / "stripe.toml")
    with pytest.raises(ValueError, match="a slug that is none of stripe"):
        WEBHOOK_ADAPTERS.parse(str(tmp_path))


def test_an_unsigned_adapter_needs_no_secret_but_a_private_address(tmp_path: Path) -> None:
    """It is live as soon as its file is there."""
    text = FILES[0].read_text().replace('scheme = "hmac"', 'scheme = "none"\nallow_unsigned = true')
    (tmp_path / "acme.toml").write_text(text.replace('header = "Webhook-Signature"\n', ""))
    own = {"PAYFLUX_WEBHOOK_ADAPTERS": str(tmp_path), "PAYFLUX_HASH_KEY": HASH_KEY}
    assert list(live(given(own | {"HTTP_ADDR": "127.0.0.1:8080"}))) == ["acme"]
    (line,) = problems(own)
    assert line.startswith("HTTP_ADDR=':8080': expected a private address")
    assert problems(own | {"PAYFLUX_HASH_KEY": "", "HTTP_ADDR": "127.0.0.1:8080"}) == [
        "PAYFLUX_HASH_KEY: expected a key for the hashes of identifiers, as acme is unsigned"
    ]


def test_an_adapter_is_found_by_name_or_by_file() -> None:
    """What nobody knows is refused with what is known."""
    environ = {"PAYFLUX_WEBHOOK_ADAPTERS": FOLDER}
    assert named("stripe", {}) == ("stripe", ADAPTERS["stripe"])
    assert named("square", environ) == named(f"{FOLDER}/square.toml", {}) == ("square", f"{FOLDER}/square.toml")
    for text, variables, expected in (
        ("acme", environ, "acme: expected one of stripe, adyen, checkout"),
        ("acme.toml", {}, "acme.toml: expected acme.toml to be a file that can be read"),
        ("square", {"PAYFLUX_WEBHOOK_ADAPTERS": "x"}, "PAYFLUX_WEBHOOK_ADAPTERS: expected name=module:Source or"),
    ):
        with pytest.raises(SettingsError, match=expected):
            named(text, variables)


def test_secrets_are_masked() -> None:
    """Wherever settings are shown."""
    values = values_of(*ADAPTERS)
    for name in ADAPTERS:
        shown = values.text(secrets_of(name)) or ""
        assert not any(secret in shown for secret in SECRETS[name])
