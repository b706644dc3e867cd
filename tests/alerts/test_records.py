import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import NOON, driver, incident
from payflux.alerts.records import incident_of
from payflux.risk.incidents.incident import Change
from payflux.risk.incidents.record import encoded


@given(
    st.text(max_size=20), st.sampled_from([0, NOON + 60]), st.dictionaries(st.text(max_size=3), st.integers(0, 1 << 50))
)
def test_an_incident_is_read_as_it_was_written(value: str, resolved: int, worth: dict[str, int]) -> None:
    """Every member of it."""
    one = incident(value=value, resolved=resolved, value_at_risk=worth, drivers=(driver(), driver("volume_drop")))
    assert incident_of(encoded(Change("opened", NOON, one), 300)) == one


@pytest.mark.parametrize("name", [None, "id", "opened", "drivers", "severity"])
def test_what_is_no_record_is_none(name: str | None) -> None:
    """Anybody may write to Redis."""
    record = msgspec.json.decode(encoded(Change("opened", NOON, incident()), 300))
    wrong = msgspec.json.encode(record | {name: "?"}) if name in {"opened", "drivers"} else b'{"id":"x"}'
    assert incident_of(b"[]" if name is None else wrong) is None
