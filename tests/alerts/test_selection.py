import pytest

from incidents import incident
from payflux.alerts.selection import Selection, selection_of, settings_of
from payflux.settings import load


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), True),
        (Selection("high"), True),
        (Selection("critical"), False),
        (Selection(processors=("stripe", "adyen")), True),
        (Selection(processors=("adyen",)), False),
        (Selection(processors=("!adyen",)), True),
        (Selection(processors=("!stripe",)), False),
        (Selection(drivers=("volume_drop",)), False),
        (Selection(drivers=("!segment_degradation",)), False),
    ],
)
def test_a_receiver_is_told_what_it_asked_for(selection: Selection, wanted: bool) -> None:
    """Least severity, processors and drivers, in or out."""
    assert selection.wants(incident()) is wanted


def test_what_concerns_all_concerns_everybody() -> None:
    """Whatever processors a receiver named."""
    assert Selection(processors=("adyen",)).wants(incident(processor=""))


def test_it_is_read_from_the_settings_of_the_receiver() -> None:
    """And a list that mixes both ways is refused."""
    values = load(
        settings_of("slack"), {"PAYFLUX_ALERT_SLACK_LEAST": "high", "PAYFLUX_ALERT_SLACK_PROCESSORS": "!adyen, !mollie"}
    )
    assert selection_of("slack", values) == Selection("high", ("!adyen", "!mollie"))
    with pytest.raises(Exception, match="names, or names with `!`"):
        load(settings_of("slack"), {"PAYFLUX_ALERT_SLACK_DRIVERS": "!a,b"})
