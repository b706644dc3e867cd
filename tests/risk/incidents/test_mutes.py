import pytest

from payflux.risk.incidents.mutes import segment, span


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("30d", 2592000)]
)
def test_durations_as_people_type_them(text: str, seconds: int) -> None:
    """Seconds, minutes, hours, days."""
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "-1h", "1.5h", "31d", "٣h", "99999999s"])
def test_what_is_no_duration(text: str) -> None:
    """Is refused with what is expected: no mute lasts for ever."""
    with pytest.raises(ValueError, match="a duration"):
        span(text)


def test_a_segment_is_a_pair() -> None:
    """Its value may hold anything."""
    assert segment("geo=BR") == ("geo", "BR")
    assert segment("issuer=a=b") == ("issuer", "a=b")
    for text in ("geo", "geo=", "=BR", ""):
        with pytest.raises(ValueError, match="geo=BR"):
            segment(text)
