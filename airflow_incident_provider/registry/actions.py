"""People's actions on incidents, applied to the registry in Airflow's database."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.utils.session import create_session

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.actions import AppliedAction, apply_action
from airflow_incident_provider.lifecycle.coordination import IncidentAction
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest
from airflow_incident_provider.lifecycle.run_requests import with_update_run
from airflow_incident_provider.models import Incident
from airflow_incident_provider.registry.decisions import change_incident
from airflow_incident_provider.registry.runs import Runs
from airflow_incident_provider.registry.transaction import opened


class UnknownIncidentError(IncidentError):
    """The registry has no such incident."""


class DatabaseIncidents:
    """Reads records and applies actions.

    :param runs: creates the runs that actions start.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def find(self, *, key: str | None, channel_id: str) -> IncidentRecord | None:
        """Return the incident with this key; without a key, the latest whose room is the channel."""
        with create_session(scoped=False) as session:
            registry = opened(session)
            keys = [key] if key is not None else list(registry.listed())
            stored = registry.load(keys, archived=key is not None)
            if key is None:
                # One that a person started is in the inbox until something happens to it.
                stored = registry.reports() | stored
            found = [incident.record for incident in stored.values()]
        if key is None:
            found = [record for record in found if record.room.channel_id == channel_id]
        return max(found, key=lambda record: record.opened_at, default=None)

    def apply(self, key: str, action: IncidentAction, table: RoutingTable) -> AppliedAction:
        """Apply an action, and start the runs that follow, in one transaction.

        :raises UnknownIncidentError: there is no such incident.
        :raises RegistryUnavailableError: the registry cannot be used now; nothing was changed.
        :raises DagNotReadyError: a run would wait; nothing was changed.
        """
        results: list[AppliedAction] = []

        def change(record: IncidentRecord) -> tuple[IncidentRecord, Sequence[RunRequest]]:
            applied = apply_action(record, action, responders_for=lambda changed: responders(changed, table))
            results.append(applied)
            changed, updates = with_update_run(applied.record, table.lifecycle, action.at)
            if applied.record is record:
                return record, ()
            return changed, (*applied.runs, *updates)

        if change_incident(key, change, self._runs) is None:
            raise UnknownIncidentError(f"There is no incident {key}.")
        return results[-1]


def responders(record: IncidentRecord, table: RoutingTable) -> tuple[str, ...]:
    """Return the responders that the routing table names for an incident as its record is now."""
    incident = Incident(
        key=record.key,
        id=record.key,
        source=record.source,
        title=record.title,
        severity=record.severity,
        occurred_at=record.opened_at,
        received_at=record.opened_at,
        env=record.env,
        services=record.services,
        teams=record.teams,
    )
    return table.route(incident).responders
