"""An incident that never happened, to try receivers with."""

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import Incident, id_of


def trial(second: int) -> Incident:
    """A severe one, with a place, numbers and money: everything a message may have.

    Args:
        second: Unix time at which it is noticed.
    """
    since = second - 60
    driver = Driver("segment_degradation", "geo", "GB", 0.7, "high", True, 310, 500, 45.0, since, 16.0, 60.0)
    return Incident(
        id=id_of("example", second, driver),
        processor="example",
        severity="high",
        opened=second,
        since=since,
        counted_from=since,
        updated=second,
        dimension="geo",
        value="GB",
        peak=0.7,
        peak_at=second,
        drivers=(driver,),
        payments=265,
        value_at_risk={"GBP": 4_120_000},
        samples=("550e8400-e29b-41d4-a716-446655440000",),
    )
