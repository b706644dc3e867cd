import pytest

from incidents import incident
from payflux.alerts import Kind
from payflux.alerts.registry import RECEIVERS, check_alerts, further_settings, kind_of, runbook_of, settings, used
from payflux.alerts.selection import selection_of
from payflux.errors import SettingsError
from payflux.settings import load

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENOUGH = {
    "alertmanager": {"PAYFLUX_ALERT_ALERTMANAGER_URLS": "http://a:9093,http://b:9093/"},
    "pagerduty": {"PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY": "key"},
    "slack": {"PAYFLUX_ALERT_SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x"},
    "webhook": {"PAYFLUX_ALERT_WEBHOOK_URL": "https://h/x", "PAYFLUX_ALERT_WEBHOOK_SECRETS": SECRET},
}


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_receiver_is_used_when_it_is_named(name: str) -> None:
    """With what it needs it is made; without it the start is refused, and the variable named."""
    values = load(settings(), {"PAYFLUX_ALERTS": name, **ENOUGH[name]}, [check_alerts])
    assert list(used(values)) == [name]
    assert hasattr(kind_of(name).make(values), "send")
    with pytest.raises(SettingsError, match=f"PAYFLUX_ALERT_{name.upper()}_.*as PAYFLUX_ALERTS names {name}"):
        load(settings(), {"PAYFLUX_ALERTS": name}, [check_alerts])


def test_secrets_are_masked() -> None:
    """Keys, tokens, addresses that hold one."""
    secret = {setting.name for setting in settings() if setting.secret}
    assert secret == {
        "PAYFLUX_ALERT_PAGERDUTY_ROUTING_KEY",
        "PAYFLUX_ALERT_SLACK_WEBHOOK_URL",
        "PAYFLUX_ALERT_SLACK_TOKEN",
        "PAYFLUX_ALERT_WEBHOOK_SECRETS",
    }


@pytest.mark.parametrize("name", ["sms", "nothing.of:This", "payflux.alerts.registry:ALERTS_"])
def test_what_is_no_receiver_is_refused(name: str) -> None:
    """With those there are."""
    with pytest.raises(SettingsError, match=r"PAYFLUX_ALERTS='.*': expected "):
        load(settings(), {"PAYFLUX_ALERTS": name})


def test_a_class_of_ones_own_is_a_receiver() -> None:
    """By module and name; which incidents it is told of is set as for every other."""
    word = "payflux.alerts.receivers.slack:Slack"
    assert isinstance(kind_of(word), Kind)
    environ = {"PAYFLUX_ALERTS": word}
    with pytest.raises(SettingsError, match="each receiver once"):
        load(settings(), environ)
    environ = {"PAYFLUX_ALERTS": "payflux.alerts.receivers.pagerduty:URL_KIND"}
    assert further_settings(environ) == ()
    environ = {"PAYFLUX_ALERTS": "unittest.mock:Mock", "PAYFLUX_ALERT_MOCK_LEAST": "critical"}
    values = load((*settings(), *further_settings(environ)), environ)
    assert list(used(values)) == ["mock"]
    assert selection_of("mock", values).least == "critical"


def test_a_message_links_to_the_runbook() -> None:
    """To its section about the incident, at the address that is configured."""
    values = load(settings(), {"PAYFLUX_RUNBOOK_URL": "https://wiki/RUNBOOK.md"})
    assert runbook_of(values)(incident()) == "https://wiki/RUNBOOK.md#segment_degradation"
    assert runbook_of(load(settings(), {}))(incident()) == "https://payflux.dev/docs/runbook.html#segment_degradation"
