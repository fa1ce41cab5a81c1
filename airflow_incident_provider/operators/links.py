"""Extra links of the tasks in Airflow's UI: the room, the monitor, the dashboard."""

from __future__ import annotations

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

from airflow_incident_provider.models import Incident, LinkKind, WarRoom

_ADDRESSES = "link_addresses"


def keep_links(operator: BaseOperator, incident: Incident, room: WarRoom | None = None) -> None:
    """Keep where the links of this task lead."""
    monitor = incident.link(LinkKind.MONITOR) or incident.link(LinkKind.INCIDENT)
    dashboard = incident.link(LinkKind.DASHBOARD)
    addresses = {
        MonitorLink.name: monitor.url if monitor is not None else None,
        DashboardLink.name: dashboard.url if dashboard is not None else None,
        WarRoomLink.name: room.url if room is not None else None,
    }
    setattr(operator, _ADDRESSES, addresses)


class _TaskLink(BaseOperatorLink):
    """A link whose address is known once the task has run.

    Airflow reads it in the task's process after the task has ended, and stores it for the UI; the next steps do not
    wait for that.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address, or an empty text."""
        return getattr(operator, _ADDRESSES, {}).get(self.name) or ""


class MonitorLink(_TaskLink):
    """The monitor, or the Datadog incident, behind this incident."""

    name = "Monitor"


class DashboardLink(_TaskLink):
    """The dashboard that the alert names."""

    name = "Dashboard"


class WarRoomLink(_TaskLink):
    """The war room in Slack."""

    name = "War room"
