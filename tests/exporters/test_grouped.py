"""Exporters with groups of their own: which may be named, and the settings each of them has."""

import pytest

from payflux.exporters import Batch, GroupDestination
from payflux.exporters.grouped import (
    EXPORTERS,
    GROUPED,
    batch_of,
    check_exporters,
    common,
    further_settings,
    group_destination,
    group_of,
    running,
    settings,
)
from payflux.settings import Values, load

OWN = "acme_for_tests:Acme"


def given(**environ: str) -> Values:
    """The settings of exporters, and those of one's own that are named."""
    return load((*settings(), *further_settings(environ)), environ)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An exporter of one's own."""
    place = tmp_path_factory.mktemp("own")
    (place / "acme_for_tests.py").write_text(
        "from payflux.exporters import Batch, GroupDestination\n"
        "Acme = GroupDestination(object, 'acme', Batch(7, 2048, 0))\n"
        "WEBHOOK = Acme\n"
    )
    monkeypatch.syspath_prepend(place)
    return OWN


def test_none_runs_unless_it_is_named() -> None:
    """The default is none; a group is called after its exporter."""
    assert running(given()) == ()
    assert running(given(PAYFLUX_EXPORTERS=" webhook,")) == ("webhook",)
    assert group_of("webhook") == "payflux:webhook"


@pytest.mark.parametrize("name", GROUPED)
def test_each_says_what_it_is_and_how_it_is_set_up(name: str) -> None:
    """A row of documentation, and settings that no other one has and that begin with its name."""
    kind = group_destination(name)
    assert isinstance(kind, GroupDestination)
    assert kind.help
    assert all(one.name.startswith(f"PAYFLUX_EXPORT_{name.upper()}_") for one in (*kind.settings, *common(name)))
    names = [one.name for one in settings()]
    assert len(set(names)) == len(names)


def test_what_is_needed_is_asked_for_only_when_it_is_named() -> None:
    """The refusal names the variable, and why it is wanted."""
    assert list(check_exporters(given())) == []
    (problem,) = check_exporters(given(PAYFLUX_EXPORTERS="webhook"))
    assert problem.startswith("PAYFLUX_EXPORT_WEBHOOK_URL: expected a URL")
    assert problem.endswith("as PAYFLUX_EXPORTERS names webhook")


def test_settings_of_batches_mean_the_same_for_each() -> None:
    """Its own where they are given, the exporter's where not."""
    usual = group_destination("webhook").batch
    assert batch_of(given(), "webhook") == usual
    assert batch_of(given(PAYFLUX_EXPORT_WEBHOOK_BATCH_EVENTS="5"), "webhook") == usual._replace(events=5)


def test_one_of_ones_own_has_the_common_settings_under_its_name(acme: str) -> None:
    """It is named as `module:Name`, and its variables after the name alone."""
    values = given(PAYFLUX_EXPORTERS=f"webhook,{acme}", PAYFLUX_EXPORT_ACME_BATCH_SEC="9")
    assert running(values) == ("webhook", acme)
    assert batch_of(values, acme) == Batch(7, 2048, 9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stdout", "some of webhook"),
        ("no.such.module:Thing", "ModuleNotFoundError"),
        ("payflux.exporters.grouped:GROUPED", "a GroupDestination"),
        ("webhook,webhook", "each name once"),
        ("acme_for_tests:WEBHOOK", "none of PayFlux's"),
    ],
)
def test_what_is_no_exporter_is_refused(text: str, expected: str, acme: str) -> None:
    """In words; and the settings of what is named wrongly are none."""
    with pytest.raises(ValueError, match=expected):
        EXPORTERS.parse(text)
    assert further_settings({EXPORTERS.name: text}) == ()
