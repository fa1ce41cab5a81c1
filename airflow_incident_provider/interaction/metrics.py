"""
Response times: how long incidents take to reach each milestone, as counts, medians and 90th percentiles.

A duration is computed only if both of its events are recorded; a missing event is no zero and no guess.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import IncidentSummary, Mode, Model, UtcDatetime, WarRoom


class Milestone(StrEnum):
    """An event of an incident that is measured from when the incident was received."""

    ROOM = "room"
    FIRST_EVIDENCE = "first_evidence"
    COMMAND = "command"
    MITIGATION = "mitigation"
    """The last recovery: no alert fires any more."""
    RESOLUTION = "resolution"


class MeasuredIncident(Model):
    """The recorded events of one incident; what is not recorded is absent."""

    key: str
    severity: str
    services: tuple[str, ...] = ()
    received_at: UtcDatetime
    room_at: UtcDatetime | None = None
    first_evidence_at: UtcDatetime | None = None
    command_at: UtcDatetime | None = None
    mitigated_at: UtcDatetime | None = None
    resolved_at: UtcDatetime | None = None

    @classmethod
    def from_record(
        cls,
        record: IncidentRecord,
        *,
        room_at: datetime | None = None,
        first_evidence_at: datetime | None = None,
    ) -> MeasuredIncident:
        """Return the events that a record holds, with those that its first run measured."""
        return cls(
            key=record.key,
            severity=record.severity,
            services=record.services,
            received_at=record.opened_at,
            room_at=room_at,
            first_evidence_at=first_evidence_at,
            command_at=record.coordination.first_led_at,
            mitigated_at=record.recovered_at,
            resolved_at=record.resolved_at,
        )

    @classmethod
    def from_run(
        cls, record: IncidentRecord, room: WarRoom | None, summary: IncidentSummary | None
    ) -> MeasuredIncident:
        """Return the events of a record and of what its first run returned. A dry run opened no room."""
        evidence_ms = summary.time_to_first_evidence_ms if summary is not None else None
        return cls.from_record(
            record,
            room_at=room.opened_at if room is not None and room.mode is Mode.LIVE else None,
            first_evidence_at=record.opened_at + timedelta(milliseconds=evidence_ms)
            if evidence_ms is not None
            else None,
        )

    def at(self, milestone: Milestone) -> datetime | None:
        """Return when a milestone was reached, if that is recorded."""
        return {
            Milestone.ROOM: self.room_at,
            Milestone.FIRST_EVIDENCE: self.first_evidence_at,
            Milestone.COMMAND: self.command_at,
            Milestone.MITIGATION: self.mitigated_at,
            Milestone.RESOLUTION: self.resolved_at,
        }[milestone]


@dataclass(frozen=True)
class Distribution:
    """Durations in seconds.

    :param count: incidents with both events.
    :param missing: incidents without one of them.
    """

    count: int
    missing: int
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True)
class ReportRow:
    """The distributions of one group of incidents, such as those of one service."""

    group: str
    incidents: int
    times: dict[Milestone, Distribution]


def report(incidents: Sequence[MeasuredIncident]) -> list[ReportRow]:
    """Return all incidents as one row, then a row for each severity and each service."""
    rows = [_row("all", incidents)]
    rows += _grouped(incidents, lambda incident: (f"severity {incident.severity}",))
    rows += _grouped(incidents, lambda incident: tuple(f"service {name}" for name in incident.services))
    return rows


def distribution(incidents: Iterable[MeasuredIncident], milestone: Milestone) -> Distribution:
    """Return the distribution of the times from receipt to a milestone."""
    seconds: list[float] = []
    missing = 0
    for incident in incidents:
        reached = incident.at(milestone)
        elapsed = (reached - incident.received_at).total_seconds() if reached is not None else -1.0
        if elapsed < 0:
            # A milestone before the receipt comes from another clock: it measures nothing.
            missing += 1
        else:
            seconds.append(elapsed)
    seconds.sort()
    return Distribution(
        count=len(seconds),
        missing=missing,
        median_s=statistics.median(seconds) if seconds else None,
        p90_s=seconds[math.ceil(0.9 * len(seconds)) - 1] if seconds else None,
    )


def _row(group: str, incidents: Sequence[MeasuredIncident]) -> ReportRow:
    times = {milestone: distribution(incidents, milestone) for milestone in Milestone}
    return ReportRow(group=group, incidents=len(incidents), times=times)


def _grouped(
    incidents: Iterable[MeasuredIncident], groups_of: Callable[[MeasuredIncident], tuple[str, ...]]
) -> list[ReportRow]:
    members: dict[str, list[MeasuredIncident]] = {}
    for incident in incidents:
        for group in groups_of(incident):
            members.setdefault(group, []).append(incident)
    return [_row(group, members[group]) for group in sorted(members)]
