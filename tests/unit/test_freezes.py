"""Windows of time in which reactions do nothing, by the clocks of a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.reactions.freezes import Freeze, FreezeParams, find_active, make_freeze

BERLIN = ZoneInfo("Europe/Berlin")


def freeze(begins: str, ends: str, zone: str = "Europe/Berlin", events: str = "hold") -> Freeze:
    values = {"begins": begins, "ends": ends, "time_zone": zone, "events": events}
    return make_freeze(f"{begins}-{ends}", FreezeParams.model_validate(values))


def until(window: Freeze, now: str, zone: ZoneInfo = BERLIN) -> str:
    """Return when a window ends that a local time is in, by the same clocks; "" if in none."""
    end = window.until(datetime.fromisoformat(now).replace(tzinfo=zone))
    return "" if end is None else end.astimezone(zone).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("begins", "ends", "now", "end"),
    [
        # 2026-03-02 is a Monday.
        ("Fri 17:00", "Mon 08:00", "2026-03-06T16:59:59", ""),
        ("Fri 17:00", "Mon 08:00", "2026-03-06T17:00", "2026-03-09T08:00+01:00"),
        ("Fri 17:00", "Mon 08:00", "2026-03-09T07:59", "2026-03-09T08:00+01:00"),
        ("Fri 17:00", "Mon 08:00", "2026-03-09T08:00", ""),
        ("friday 17:00", "MONDAY 08:00", "2026-03-08T12:00", "2026-03-09T08:00+01:00"),
        ("Mon 08:00", "Fri 17:00", "2026-03-04T12:00", "2026-03-06T17:00+01:00"),
        ("Mon 18:00", "Mon 08:00", "2026-03-09T07:00", "2026-03-09T08:00+01:00"),
        ("Mon 18:00", "Mon 08:00", "2026-03-09T12:00", ""),
        ("22:00", "06:00", "2026-03-04T21:59", ""),
        ("22:00", "06:00", "2026-03-04T23:00", "2026-03-05T06:00+01:00"),
        ("22:00", "06:00", "2026-03-05T05:59", "2026-03-05T06:00+01:00"),
        ("09:00", "17:00", "2026-03-05T12:00", "2026-03-05T17:00+01:00"),
        ("09:00", "17:00", "2026-03-05T17:00", ""),
        ("2026-12-18 17:00", "2027-01-04 08:00", "2026-12-31T00:00", "2027-01-04T08:00+01:00"),
        ("2026-12-18T17:00", "2027-01-04", "2027-01-03T23:59", "2027-01-04T00:00+01:00"),
        ("2026-12-18 17:00", "2027-01-04 08:00", "2027-01-04T08:00", ""),
        # The clocks go forward on Sunday, 2026-03-29, from 02:00 to 03:00, and back on 2026-10-25.
        ("Fri 17:00", "Mon 08:00", "2026-03-28T12:00", "2026-03-30T08:00+02:00"),
        ("22:00", "06:00", "2026-03-28T23:00", "2026-03-29T06:00+02:00"),
        ("01:00", "02:30", "2026-03-29T01:30", "2026-03-29T03:30+02:00"),
        ("02:30", "06:00", "2026-03-29T01:30", "2026-03-29T06:00+02:00"),
        ("01:00", "02:30", "2026-10-25T02:29", "2026-10-25T02:30+01:00"),
    ],
)
def test_a_window_is_by_the_clocks_of_its_zone(begins: str, ends: str, now: str, end: str) -> None:
    assert until(freeze(begins, ends), now) == end


def test_where_clocks_show_a_time_twice_the_window_holds_for_both() -> None:
    night = freeze("02:30", "06:00")
    for fold in (0, 1):
        twice = datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN, fold=fold)
        assert night.until(twice) == datetime(2026, 10, 25, 5, 0, tzinfo=UTC)


@given(
    minutes=st.integers(0, 3 * 365 * 24 * 60),
    day=st.sampled_from(["", "Mon ", "Sat "]),
    hours=st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda it: it[0] != it[1]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_a_window_ends_after_now_and_is_over_then(
    minutes: int, day: str, hours: tuple[int, int], zone: str
) -> None:
    window = freeze(f"{day}{hours[0]:02}:00", f"{day}{hours[1]:02}:00", zone)
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    end = window.until(now)
    if end is None:
        return
    assert now < end <= now + timedelta(days=7 if day else 1, hours=2)
    assert window.until(end) is None
    assert window.until(end - timedelta(seconds=1)) == end


def test_of_several_windows_one_that_skips_decides_and_else_the_last_to_end() -> None:
    now = datetime(2026, 3, 7, 12, tzinfo=UTC)
    short, long = freeze("Sat 00:00", "Sun 00:00"), freeze("Fri 17:00", "Mon 08:00")
    skips = freeze("09:00", "17:00", events="skip")
    assert find_active([], now) is None
    assert find_active([short, long], now) == (long, long.until(now))
    assert find_active([short, long, skips], now) == (skips, skips.until(now))


@pytest.mark.parametrize(
    ("begins", "ends", "zone"),
    [
        ("2026-01-01", "9999-12-31 23:00", "America/New_York"),
        ("0001-01-01", "2030-01-01", "Europe/Berlin"),
    ],
)
def test_a_date_that_another_time_zone_puts_off_the_calendar_is_refused(
    begins: str, ends: str, zone: str
) -> None:
    with pytest.raises(ValueError, match="a year is from 1900 to 8999"):
        freeze(begins, ends, zone)
    assert until(freeze("2026-01-01", "8999-12-31 23:00", zone), "2026-05-01T12:00")
