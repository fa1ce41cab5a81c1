"""Buttons on the tasks in Airflow's UI: the room, the monitor, the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_incident_provider.models import Incident, LinkKind, WarRoom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class _StoredLink(BaseOperatorLink):
    """A link that its task stores in XCom once the address is known; Airflow shows what is stored."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return nothing for a task that has stored no address."""
        return ""

    @classmethod
    def _store(cls, context: Context, url: str | None) -> None:
        if url:
            context["ti"].xcom_push(key=f"_link_{cls.__name__}", value=url)


class MonitorLink(_StoredLink):
    """Leads to the monitor, or the Datadog incident, that raised this."""

    name = "Monitor"

    @classmethod
    def persist(cls, context: Context, incident: Incident) -> None:
        """Store the address of the incident's monitor."""
        link = incident.link(LinkKind.MONITOR) or incident.link(LinkKind.INCIDENT)
        cls._store(context, link.url if link else None)


class DashboardLink(_StoredLink):
    """Leads to the dashboard that the alert names."""

    name = "Dashboard"

    @classmethod
    def persist(cls, context: Context, incident: Incident) -> None:
        """Store the address of the incident's dashboard."""
        link = incident.link(LinkKind.DASHBOARD)
        cls._store(context, link.url if link else None)


class WarRoomLink(_StoredLink):
    """Leads to the war room in Slack."""

    name = "War room"

    @classmethod
    def persist(cls, context: Context, room: WarRoom) -> None:
        """Store the address of the room."""
        cls._store(context, room.url)


LINKS: tuple[Any, ...] = (MonitorLink, DashboardLink, WarRoomLink)
