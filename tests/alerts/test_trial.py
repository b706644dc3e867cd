from incidents import NOON
from payflux.alerts import Notice
from payflux.alerts.message import facts, title
from payflux.alerts.trial import trial


def test_it_has_everything_a_message_may_have() -> None:
    """A place, numbers, money; and of no processor that anybody has."""
    one = trial(NOON)
    assert {name for name, _ in facts(one)} >= {"Segment", "Observed", "Payments affected", "Value at risk"}
    assert title(Notice(kind="opened", incident=one, test=True)).startswith(
        "TEST: [high] example: 62% of payments from GB"
    )
