"""Earlier incidents of the same monitor or service: what ``collect_evidence`` leaves for the next one.

One entry of the registry for each monitor and each service, written by tasks; the newest incidents come first. Two
incidents of one service that end in the same moment can lose one of them from the list: it is a help to people, and
nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_incident_provider.evidence.model import Evidence, PastIncident
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.models import Incident, Model, UtcDatetime, Verdict
from airflow_incident_provider.registry.keys import REGISTRY, Kind
from airflow_incident_provider.registry.task_client import StateStore, TaskRegistry

KEPT = 20
SHOWN = 3
_ATTENTION = frozenset({Verdict.FAIL, Verdict.WARN})


class HistoryEntry(Model):
    """One incident of a monitor or a service.

    :param signature: the checks that found something, and the class of the first hypothesis.
    """

    key: str
    title: str
    occurred_at: UtcDatetime
    signature: tuple[str, ...] = ()


class History(Model):
    """The incidents of one monitor or one service, the newest first."""

    entries: tuple[HistoryEntry, ...] = ()


class IncidentHistory:
    """The histories within one task.

    :param store: the state of the registry's asset.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._registry = TaskRegistry(store)

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> IncidentHistory:
        """Return the histories of a task's context.

        :raises KeyError: the task does not name :data:`~.keys.REGISTRY` in its ``inlets``.
        """
        return cls(context["asset_state_store"][REGISTRY])

    def recall(self, incident: Incident, evidence: Evidence) -> tuple[PastIncident, ...]:
        """Return the latest incidents of the same monitor, or of the same service with the same findings."""
        signature = signature_of(evidence)
        found: dict[str, tuple[HistoryEntry, list[str]]] = {}
        for subject in subjects(incident):
            for entry in self._read(subject).entries:
                if entry.key != incident.key:
                    found.setdefault(entry.key, (entry, []))[1].append(subject.partition(":")[0])
        for entry, same in found.values():
            if signature and entry.signature == signature:
                same.append("findings")
        latest = sorted(found.values(), key=lambda each: (-len(each[1]), -each[0].occurred_at.timestamp()))
        return tuple(self._past(entry, same) for entry, same in latest[:SHOWN])

    def remember(self, incident: Incident, evidence: Evidence) -> None:
        """Add an incident to its monitors and services; the same again on a retry."""
        entry = HistoryEntry(
            key=incident.key,
            title=incident.title[:150],
            occurred_at=incident.occurred_at,
            signature=signature_of(evidence),
        )
        for subject in subjects(incident):
            others = [each for each in self._read(subject).entries if each.key != incident.key]
            kept = History(entries=tuple([entry, *others][:KEPT]))
            self._store.set(Kind.HISTORY.key(subject), kept.model_dump(mode="json"))

    def _read(self, subject: str) -> History:
        value = self._store.get(Kind.HISTORY.key(subject))
        return History() if value is None else History.model_validate(value)

    def _past(self, entry: HistoryEntry, same: list[str]) -> PastIncident:
        stored = self._registry.incident(entry.key)
        ended = _ended_at(stored.record) if stored else None
        return PastIncident(
            key=entry.key,
            title=entry.title,
            occurred_at=entry.occurred_at,
            same=tuple(dict.fromkeys(same)),
            duration=max(ended - entry.occurred_at, timedelta()) if ended else None,
            ended=stored.record.status.value if stored and stored.record.status is not Status.OPEN else None,
            url=stored.record.room.url if stored else None,
        )


def _ended_at(record: IncidentRecord) -> datetime | None:
    return record.recovered_at or record.resolved_at


def subjects(incident: Incident) -> Iterator[str]:
    """Yield what an incident is of: ``monitor:148275309``, ``service:checkout``."""
    yield from (f"monitor:{monitor}" for monitor in incident.monitor_ids[:5])
    yield from (f"service:{service}" for service in incident.services[:5])


def signature_of(evidence: Evidence) -> tuple[str, ...]:
    """Return the attributes that identify a kind of incident."""
    found = [finding.probe for finding in evidence.findings if finding.verdict in _ATTENTION]
    cause = [evidence.hypotheses[0].cause.value] if evidence.hypotheses else []
    return (*sorted(found), *cause)
