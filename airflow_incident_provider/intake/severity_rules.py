"""How bad an incident is by the routing table, where the word of whoever told of it is not to count."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.intake.match import Match
from airflow_incident_provider.intake.table_fields import KnownSeverity, Name, Strict
from airflow_incident_provider.models import Incident


class SeverityRule(Strict):
    """How bad the incidents that match are."""

    name: Name
    match: Match
    severity: KnownSeverity


class SeverityRules(Strict):
    """The first rule that matches decides; without one, what the alert says holds.

    ``severity`` in a rule's ``match`` is what the alert says: "at least high, and staging" can be made medium.
    """

    rules: Annotated[tuple[SeverityRule, ...], Field(max_length=1000)] = ()

    def judged(self, incident: Incident) -> Incident:
        """Return the incident as bad as the rules say; a change is flagged, so that the brief tells of it."""
        rule = next((rule for rule in self.rules if rule.match.matches(incident)), None)
        if rule is None or rule.severity is incident.severity:
            return incident
        flags = Flags(incident.flags)
        flags.add("severity", incident.severity.value, f"{rule.severity} by the routing table's rule {rule.name!r}")
        return incident.model_copy(update={"severity": rule.severity, "flags": flags.as_tuple()})
