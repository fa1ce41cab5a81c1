"""How a rehearsal went: goals that were met or missed, each with what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airflow_incident_provider.commands.drill.payload import CHANNEL_PREFIX
from airflow_incident_provider.commands.incidents.records import RecordedIncident
from airflow_incident_provider.messages.mrkdwn import duration
from airflow_incident_provider.models import Finding, IncidentSummary, Verdict, WarRoom

_COULD_NOT_RUN = (Verdict.UNKNOWN, Verdict.SKIPPED)


@dataclass(frozen=True)
class Goal:
    """Something that a rehearsal should show."""

    name: str
    met: bool
    seen: str


def score(entry: RecordedIncident, findings: Sequence[Finding], *, room_within_s: float) -> list[Goal]:
    """Return the goals.

    :param room_within_s: seconds that the room may take.
    """
    room, summary = entry.room, entry.summary
    return [
        Goal("a room", room is not None and room.channel_id is not None, _room(room)),
        Goal(f"room within {room_within_s:g} s", _in_time(summary, room_within_s), _time(summary)),
        Goal(
            "room marked as a drill",
            room is not None and _is_marked(room),
            room.channel_name if room else "no room",
        ),
        Goal("everybody invited", room is not None and not room.not_invited, _people(room)),
        Goal("every probe ran", bool(findings) and not list(_not_run(findings)), _probes(findings)),
        Goal("nothing went wrong", summary is not None and not summary.problems, _problems(summary)),
    ]


def _room(room: WarRoom | None) -> str:
    if room is None:
        return "none"
    return f"#{room.channel_name}" if room.channel_id else f"dry-run: #{room.channel_name} was not made"


def _in_time(summary: IncidentSummary | None, seconds: float) -> bool:
    return summary is not None and summary.time_to_room_ms is not None and summary.time_to_room_ms <= seconds * 1000


def _time(summary: IncidentSummary | None) -> str:
    if summary is None or summary.time_to_room_ms is None:
        return "not known"
    parts = [f"room after {duration(summary.time_to_room_ms)}"]
    if summary.time_to_first_evidence_ms is not None:
        parts.append(f"first evidence after {duration(summary.time_to_first_evidence_ms)}")
    if summary.total_ms is not None:
        parts.append(f"all after {duration(summary.total_ms)}")
    return ", ".join(parts)


def _is_marked(room: WarRoom) -> bool:
    return room.channel_name.startswith(f"{CHANNEL_PREFIX}-")


def _people(room: WarRoom | None) -> str:
    if room is None:
        return "nobody"
    left_out = [f"{each.query}: {each.reason}" for each in room.not_invited]
    return "; ".join(left_out) or f"{len(room.invited)} people"


def _not_run(findings: Sequence[Finding]) -> Iterator[str]:
    yield from (
        f"{finding.probe} {finding.target}: {finding.summary}"
        for finding in findings
        if finding.verdict in _COULD_NOT_RUN
    )


def _probes(findings: Sequence[Finding]) -> str:
    if not findings:
        return "none ran"
    return "; ".join(_not_run(findings)) or f"{len(findings)} probes"


def _problems(summary: IncidentSummary | None) -> str:
    if summary is None:
        return "there is no summary"
    return "; ".join(f"{problem.what} {problem.error or ''}".strip() for problem in summary.problems) or "nothing"
