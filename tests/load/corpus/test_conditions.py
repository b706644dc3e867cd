"""What incidents add up to, second by second."""

from hypothesis import given, settings
from hypothesis import strategies as st

from payflux.load.corpus.chance import WORD
from payflux.load.corpus.conditions import CALM, EVERYTHING, Plan, combined
from payflux.load.corpus.population import CATEGORIES, COUNTRIES
from payflux.load.corpus.scenarios import SCENARIOS, Incident

INCIDENTS = st.lists(
    st.builds(
        Incident,
        st.sampled_from(tuple(SCENARIOS)),
        st.sampled_from(("stripe", "adyen")),
        st.floats(0, 300),
        st.floats(1, 300),
        st.floats(0.1, 1),
    ),
    max_size=6,
).map(lambda incidents: sorted(incidents, key=lambda incident: incident.start))


@given(INCIDENTS, st.lists(st.integers(0, 700), min_size=1, max_size=30))
@settings(max_examples=60)
def test_a_plan_knows_what_a_search_finds(incidents: list[Incident], seconds: list[int]) -> None:
    """For any seconds in any order, and for incidents that start or end within a second."""
    plan = Plan(incidents)
    for second in seconds:
        on = [one for one in incidents if one.processor == "adyen" and one.start <= second < one.end]
        assert plan.at("adyen", second) == (combined(on, second) if on else CALM)


@given(INCIDENTS, st.lists(st.floats(0, 700), min_size=1, max_size=30).map(sorted))
@settings(max_examples=60)
def test_a_plan_knows_which_incidents_are_on(incidents: list[Incident], times: list[float]) -> None:
    """As time goes by, also when others were asked for ahead of it."""
    plan = Plan(incidents)
    plan.at("stripe", 650)
    for at in times:
        assert plan.running(at) == tuple(one for one in incidents if one.start <= at < one.end)


def test_effects_of_overlapping_incidents_add_up() -> None:
    """Traffic and odds multiply, failures are asked one after another, of retries the likelier count."""
    outage = Incident("outage", "stripe", 0, 100, 0.5)
    segment = Incident("partial_geo", "stripe", 0, 100, 1.0, "FR")
    spike, holiday = Incident("traffic_spike", "stripe", 0, 100), Incident("bank_holiday", "stripe", 0, 100, 0.5)
    found = combined([outage, segment, spike, holiday], 50)
    assert found.traffic == 6.0 * 0.8
    below = [(one.below / WORD, one.dimension, one.value) for one in found.failing]
    assert [round(share, 6) for share, _, _ in below] == [0.475, 0.95, 0.3]
    assert below[0][1] == EVERYTHING
    assert below[1][1:] == (0, COUNTRIES.index("FR"))
    assert found.retrying == int(0.3 * 65_536)
    caused = {CATEGORIES[number] for number in found.failing[0].categories}
    assert caused == {"processor_error", "processor_timeout"}
