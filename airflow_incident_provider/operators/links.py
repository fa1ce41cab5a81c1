"""Extra links of the tasks in Airflow's UI: the room, the monitor, the dashboard."""

from __future__ import annotations

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

from airflow_incident_provider.models import Incident, LinkKind, WarRoom

_ADDRESSES = "link_addresses"


class _TaskLink(BaseOperatorLink):
    """A link whose address is known once the task has run.

    Airflow reads it in the task's process after the task has ended, and stores it for the UI; the next steps do not
    wait for that.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address, or an empty text."""
        return str(getattr(operator, _ADDRESSES, {}).get(type(self).__name__, ""))

    @classmethod
    def _keep(cls, operator: BaseOperator, url: str | None) -> None:
        if url:
            setattr(operator, _ADDRESSES, {**getattr(operator, _ADDRESSES, {}), cls.__name__: url})


class MonitorLink(_TaskLink):
    """The monitor, or the Datadog incident, behind this incident."""

    name = "Monitor"

    @classmethod
    def keep(cls, operator: BaseOperator, incident: Incident) -> None:
        """Keep the address of the incident's monitor."""
        link = incident.link(LinkKind.MONITOR) or incident.link(LinkKind.INCIDENT)
        cls._keep(operator, link.url if link else None)


class DashboardLink(_TaskLink):
    """The dashboard that the alert names."""

    name = "Dashboard"

    @classmethod
    def keep(cls, operator: BaseOperator, incident: Incident) -> None:
        """Keep the address of the incident's dashboard."""
        link = incident.link(LinkKind.DASHBOARD)
        cls._keep(operator, link.url if link else None)


class WarRoomLink(_TaskLink):
    """The war room in Slack."""

    name = "War room"

    @classmethod
    def keep(cls, operator: BaseOperator, room: WarRoom) -> None:
        """Keep the address of the room."""
        cls._keep(operator, room.url)
