"""What the load check sends is what its help says."""

from collections import Counter

from scripts.smoke.plan import plan as lay_out

START = 1_767_960_000.0


def test_the_plan_is_what_the_help_says() -> None:
    """Half single and half in batches of a hundred, about five percent duplicates and three percent invalid."""
    plan = lay_out(1, START, 9200)
    forms = Counter(form for form, items in plan.jobs for _ in items)
    assert forms == {"single": 5000, "array": 2500, "ndjson": 2500}
    assert {len(items) for form, items in plan.jobs if form != "single"} == {100}
    assert len(plan.expected) == 9200
    assert plan.invalid == 300
    ids = Counter(item.event_id for _, items in plan.jobs for item in items)
    assert sum(ids.values()) - len(ids) == 500
    batches = [items for form, items in plan.jobs if form != "single"]
    assert any(len({item.event_id for item in items}) < 98 for items in batches)
    assert any(item.event_id.upper().encode() in item.body for _, items in plan.jobs for item in items)
    for mark in (b"not-a-uuid", b"4111 1111 1111 1111", b"x" * 101):
        assert any(mark in item.body for _, items in plan.jobs for item in items)
