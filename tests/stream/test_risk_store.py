"""What is kept of the risk of processors, by memory and by every server alike."""

import pytest

from payflux.stream.deliveries import Change, RiskKept, RiskNews, Scored
from payflux.stream.risk_store import RiskStore


def said(second: int, processor: str = "stripe") -> Change:
    """What was said from a second on."""
    return Change(processor, second, b'{"second":%d}' % second)


@pytest.mark.parametrize("again", [5, 4])
def test_an_assessment_is_kept_once(again: int) -> None:
    """However often it is told, and none that is older than the latest."""
    store = RiskStore()
    store.keep_changes([said(5), said(again), said(6, "adyen")])
    assert store.kept().log == [said(5).data, said(6).data]
    store.keep(RiskNews([said(7)], {"klarna": (said(0, "klarna"), b"all")}, Scored(7, 9), ["adyen"]))
    assert store.kept() == RiskKept(
        [said(5).data, said(6).data, said(7).data], {"stripe": said(7).data, "klarna": said(0).data}, Scored(7, 9)
    )
    assert (store.snapshot("klarna"), store.snapshot("stripe")) == (b"all", None)
