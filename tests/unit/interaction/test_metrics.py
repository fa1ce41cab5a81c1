"""Response times are computed from recorded events only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.interaction.metrics import MeasuredIncident, Milestone, distribution, report

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
FIELDS = {
    Milestone.ROOM: "room_at",
    Milestone.FIRST_EVIDENCE: "first_evidence_at",
    Milestone.COMMAND: "command_at",
    Milestone.MITIGATION: "mitigated_at",
    Milestone.RESOLUTION: "resolved_at",
}


def incident(number: int, milestone: Milestone, seconds: float | None) -> MeasuredIncident:
    at = T0 + timedelta(seconds=seconds) if seconds is not None else None
    return MeasuredIncident(key=f"k{number}", severity="high", received_at=T0, **{FIELDS[milestone]: at})


@given(st.sampled_from(Milestone), st.lists(st.none() | st.floats(-1000, 100_000), max_size=40))
def test_missing_event_is_not_a_duration(milestone: Milestone, seconds: list[float | None]) -> None:
    result = distribution([incident(n, milestone, s) for n, s in enumerate(seconds)], milestone)
    recorded = [s for s in seconds if s is not None and round(s, 6) >= 0]
    assert (result.count, result.missing) == (len(recorded), len(seconds) - len(recorded))
    assert (result.median_s is None) == (not recorded)
    if recorded:
        assert min(recorded) - 1e-3 <= result.median_s <= result.p90_s <= max(recorded) + 1e-3  # type: ignore[operator]


def test_median_and_90th_percentile() -> None:
    result = distribution([incident(n, Milestone.ROOM, n + 1) for n in range(10)], Milestone.ROOM)
    assert (result.count, result.median_s, result.p90_s) == (10, 5.5, 9)


def test_rows_by_severity_and_service() -> None:
    measured = [
        MeasuredIncident(key="a", severity="high", services=("checkout", "db"), received_at=T0),
        MeasuredIncident(key="b", severity="low", services=("db",), received_at=T0),
    ]
    assert [(row.group, row.incidents) for row in report(measured)] == [
        ("all", 2),
        ("severity high", 1),
        ("severity low", 1),
        ("service checkout", 1),
        ("service db", 2),
    ]
