"""Ids of incidents are the same for the same trouble."""

from msgspec.structs import replace

from payflux.risk.drivers import Driver
from payflux.risk.incidents.incident import id_of

GB = Driver("segment_degradation", "geo", "GB", 0.9, "critical", True, 62, 100, 9.0, 0, 16.0, 24.0)


def test_the_id_is_made_of_processor_second_driver_and_segment() -> None:
    """Whatever else differs, the id is the same; of these, each makes another."""
    first = id_of("stripe", 1_767_276_125, GB)
    assert first == id_of("stripe", 1_767_276_125, replace(GB, observed=7, severity=0.1, band="high"))
    others = [
        id_of("adyen", 1_767_276_125, GB),
        id_of("stripe", 1_767_276_126, GB),
        id_of("stripe", 1_767_276_125, replace(GB, value="DE")),
        id_of("stripe", 1_767_276_125, replace(GB, name="high_failure_rate")),
    ]
    assert len({first, *others}) == 5
    assert first.startswith("stripe-1767276125-")
    assert id_of("", 5, GB).startswith("all-5-")
