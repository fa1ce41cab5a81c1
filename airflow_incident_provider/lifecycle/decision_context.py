"""What a decision is made on: the alert, the incidents that it can belong to, and the rules evaluated so far."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.matching import GroupHistory, Opening
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Model
from airflow_incident_provider.text import one_line, redact, shorten

MAX_TITLE = 200


class RuleResult(Model):
    """A rule that was evaluated: whether it held, and why."""

    rule: str
    held: bool
    why: str


@dataclass(frozen=True)
class DecisionContext:
    """What is decided on, and the rules that were evaluated so far."""

    signal: Signal
    records: tuple[IncidentRecord, ...]
    routing: RoutingTable
    now: datetime
    openings: Sequence[Opening]
    history: GroupHistory
    taken_keys: Collection[str]
    results: list[RuleResult] = field(default_factory=list)

    def note(self, rule: str, held: bool, why: str) -> None:
        """Note that a rule was evaluated."""
        self.results.append(RuleResult(rule=rule, held=held, why=why))

    @property
    def accepting(self) -> tuple[IncidentRecord, ...]:
        """The incidents that accept this alert as a new one: alive, not full, of the same privacy, as real."""
        kind = (self.signal.private, self.signal.drill)
        return tuple(
            record
            for record in self.records
            if not record.is_full and self._is_alive(record) and (record.private, record.drill) == kind
        )

    def _is_alive(self, record: IncidentRecord) -> bool:
        """Return whether an incident is open, or recovered within the reopen window."""
        if record.status is not Status.RECOVERED:
            return record.status is Status.OPEN
        ended_at = record.ended_at or record.last_signal_at
        return self.now - ended_at <= self.routing.lifecycle.reopen_window

    @property
    def inputs(self) -> dict[str, str]:
        """The values that are decided on, by name, for people to read."""
        signal = self.signal
        named = {
            "kind": signal.kind,
            "alert key": signal.alert_key,
            "made of": ", ".join(f"{name} {value}" for name, value in signal.key_inputs.items()),
            "group": signal.group,
            "privacy": "private" if signal.private else None,
            "severity": signal.severity,
            "event at": signal.event_at.isoformat(),
            "delivery": shorten(redact(one_line(signal.delivery_id or "")), MAX_TITLE) or signal.fingerprint,
        }
        return {name: str(value) for name, value in named.items() if value}

    @property
    def free_key(self) -> str:
        """The alert's own key, with a number if an earlier incident had it."""
        taken = {record.key for record in self.records}.union(self.taken_keys)
        key, number = self.signal.incident.key, 1
        while key in taken:
            number += 1
            key = f"{self.signal.incident.key}.{number}"
        return key
