from payflux.outgoing.patience import Patience, retry_after


def test_waiting_times_double_up_to_a_minute() -> None:
    """From half of a second on, and start again after a success."""
    patience = Patience(chance=lambda: 0.0)
    assert [patience.failed() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    patience.succeeded()
    assert patience.failed() == 0.5


def test_chance_spreads_them() -> None:
    """Up to twice as long, so that many do not come at once."""
    assert Patience(chance=lambda: 0.999).failed() > 0.99


def test_what_a_server_asks_for_is_granted() -> None:
    """But no more than a quarter of an hour."""
    patience = Patience()
    assert patience.failed(asked=30.0) == 30.0
    assert patience.failed(asked=1e9) == 900.0


def test_retry_after_is_seconds_or_a_date() -> None:
    """As RFC 9110 has it; anything else asks for nothing."""
    now = 1_767_960_000.0  # Fri, 09 Jan 2026 12:00:00 GMT
    assert retry_after("120", now) == 120.0
    assert retry_after("Fri, 09 Jan 2026 12:01:30 GMT", now) == 90.0
    assert retry_after("Fri, 09 Jan 2026 11:00:00 GMT", now) == 0.0
    assert [retry_after(text, now) for text in (None, "", "soon", "-5", "٣")] == [0.0] * 5
