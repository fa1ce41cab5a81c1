"""Test durations and clock times in messages."""

from __future__ import annotations

import pytest

from airflow_incident_provider.messages.mrkdwn import between, clock, duration

from .rooms import OCCURRED, after


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (0, "0 ms"),
        (99, "99 ms"),
        (100, "0.1 s"),
        (200, "0.2 s"),
        (9_400, "9.4 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (41_000, "41 s"),
        (59_499, "59 s"),
        (59_500, "1 min"),
        (185_000, "3 min 5 s"),
        (3_599_600, "1 h"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d"),
        (180_000_000, "2 d 2 h"),
    ],
)
def test_duration(milliseconds: int, expected: str) -> None:
    assert duration(milliseconds) == expected


def test_clock_includes_the_date_on_another_day() -> None:
    assert clock(OCCURRED) == "09:35:00"
    assert clock(OCCURRED, seconds=False, seen_from=after(60)) == "09:35"
    assert clock(OCCURRED, seen_from=after(86_400)) == "2026-11-23 09:35:00"


def test_between_is_signed() -> None:
    assert between(OCCURRED, after(0.25)) == 250
    assert between(after(1), OCCURRED) == -1000
