"""Compare time series: normal range, onset, recovery and gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.evidence.series import Baseline, Direction, Series, State, compare, sparkline

HISTORY = Series(tuple(range(0, 3600, 60)), tuple(10 + (index % 3) * 0.2 for index in range(60)))


def window(*values: float | None) -> Series:
    return Series(tuple(3600 + 60 * index for index in range(len(values))), values)


def test_onset_is_the_first_minute_of_the_first_lasting_excursion() -> None:
    shift = compare(HISTORY, window(10, 25, 10, 10, 24, 26, 25, 27))
    assert shift is not None
    assert (shift.state, shift.onset, shift.extreme, shift.direction) == (
        State.ABNORMAL,
        3600 + 4 * 60,
        27,
        Direction.UP,
    )


def test_recovery_has_a_time() -> None:
    shift = compare(HISTORY, window(10, 25, 26, 10, 10.2, 10))
    assert shift is not None
    assert (shift.state, shift.onset, shift.ended) == (State.RECOVERED, 3660, 3600 + 3 * 60)


def test_gaps_are_not_zeros() -> None:
    shift = compare(HISTORY, window(10, None, None, 10, None))
    assert shift is not None
    assert shift.state is State.NORMAL
    assert compare(HISTORY, window(None, None)) is None


def test_short_history_yields_no_result() -> None:
    assert compare(HISTORY.between(0, 300), window(99, 99, 99)) is None


def test_constant_baseline_tolerates_five_percent_steps() -> None:
    flat = Series(HISTORY.times, (100.0,) * 60)
    small, large = compare(flat, window(104, 104, 104)), compare(flat, window(130, 130, 130))
    assert small is not None
    assert large is not None
    assert small.state is State.NORMAL
    assert large.state is State.ABNORMAL


def test_fall_is_abnormal() -> None:
    shift = compare(HISTORY, window(10, 2, 1, 2))
    assert shift is not None
    assert shift.direction is Direction.DOWN


@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), max_size=80), st.integers(1, 60))
def test_any_values_are_accepted(values: list[float | None], width: int) -> None:
    assert len(sparkline(values, width)) <= width
    compare(HISTORY, window(*values))
    compare(window(*values), HISTORY)


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=60))
def test_window_within_the_history_is_normal(values: list[float]) -> None:
    history = window(*values)
    shift = compare(history, history)
    assert shift is not None
    assert shift.state is State.NORMAL


def test_baseline_needs_ten_points() -> None:
    assert Baseline.of([1.0] * 9) is None
    assert Baseline.of([1.0] * 9 + [float("nan")]) is None
    baseline = Baseline.of([1.0] * 10)
    assert baseline is not None
    assert baseline.spread == pytest.approx(0.05)


@pytest.mark.parametrize("excursion", [(25, 26), (25, 10, 26), (2, 1, 2)])
def test_excursion_after_a_long_calm_is_a_new_one(excursion: tuple[float, ...]) -> None:
    shift = compare(HISTORY, window(10, *excursion, *(10,) * 10, 30, 31))
    assert shift is not None
    assert (shift.state, shift.onset) == (State.ABNORMAL, 3600 + 60 * (11 + len(excursion)))
    assert shift.earlier_ended == 3600 + 60 * (1 + len(excursion))


@pytest.mark.parametrize("calm", [(10, 10), (10,) * 5, (10,) * 9])
def test_short_calm_is_part_of_the_excursion(calm: tuple[float, ...]) -> None:
    shift = compare(HISTORY, window(10, 25, 26, *calm, 30, 31))
    assert shift is not None
    assert (shift.state, shift.onset) == (State.ABNORMAL, 3660)


def test_single_newest_point_is_not_a_new_excursion() -> None:
    shift = compare(HISTORY, window(25, 26, *(10,) * 10, 30))
    assert shift is not None
    assert shift.onset == 3600


@pytest.mark.parametrize(("normal", "low"), [(0.997, 0.87), (0.9995, 0.97), (99.7, 95.0), (1.0, 0.9)])
def test_success_share_is_compared_by_its_distance_to_the_whole(normal: float, low: float) -> None:
    history = Series(HISTORY.times, (normal,) * 60)
    fallen, steady = compare(history, window(low, low, low)), compare(history, window(*(normal * 0.999,) * 3))
    assert fallen is not None
    assert (fallen.state, fallen.direction) == (State.ABNORMAL, Direction.DOWN)
    assert steady is not None
    assert steady.state is State.NORMAL


@pytest.mark.parametrize("newest", [(30,), (30, 10), (10, 30)])
def test_single_point_after_recovery_is_not_a_relapse(newest: tuple[float, ...]) -> None:
    shift = compare(HISTORY, window(25, 26, 10, 10, 10, 10, 10, 10, *newest))
    assert shift is not None
    assert (shift.state, shift.onset, shift.ended) == (State.RECOVERED, 3600, 3720)
