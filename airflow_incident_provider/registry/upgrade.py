"""Upgrade of what version 0.1.0 stored: its records get an index, and the privacy that only their runs know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.conf import read_notification
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.records import IncidentRecord, Visibility
from airflow_incident_provider.registry.runs import run_confs
from airflow_incident_provider.registry.store import Registry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def ensure_indexed(session: Session, registry: Registry, routing: RoutingTable | None) -> None:
    """Build the index if there is none yet: after an upgrade from version 0.1.0, or in a new installation."""
    if registry.is_indexed():
        return
    stored = registry.incidents()
    unknown = [incident.record for incident in stored.values() if incident.record.private is None]
    confs = run_confs(session, [(record.dag_id, record.run_id) for record in unknown if record.run_id is not None])
    incidents = {
        key: incident.model_copy(update={"record": _upgraded(incident.record, confs, routing)})
        for key, incident in stored.items()
    }
    registry.build_index(incidents, registry.now())


def _upgraded(
    record: IncidentRecord, confs: Mapping[tuple[str, str], Mapping[str, Any]], routing: RoutingTable | None
) -> IncidentRecord:
    """Return a record of version 0.1.0 with its privacy, which only the conf of its run contains.

    A thread is in the public triage channel, so its incident is public.
    """
    if record.private is not None:
        return record
    if record.visibility is Visibility.THREAD:
        return record.model_copy(update={"private": False})
    conf = confs.get((record.dag_id, record.run_id or ""))
    if conf is None or routing is None:
        return record
    payload = {key: value for key, value in conf.items() if key != ConfKey.ASSIGNMENT}
    try:
        read = read_notification(payload, received_at=record.opened_at, routing=routing)
    except InvalidPayloadError:
        return record
    return record.model_copy(update={"private": read.incident.route.private})
