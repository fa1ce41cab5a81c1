"""Step 1: a payload becomes an :class:`~airflow_incident_provider.models.Incident`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.exceptions import NotAnIncidentError, RoutingTableError
from airflow_incident_provider.operators.links import MonitorLink
from airflow_incident_provider.operators.step import IncidentStep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.intake.routing import RoutingTable
    from airflow_incident_provider.models import Incident

_LONGEST_QUEUE = timedelta(hours=1)


class ParseIncidentOperator(IncidentStep):
    """Read a Datadog payload or a hand-written conf as one incident, and route it.

    :param payload: what to read; by default the run's conf. Text in it is never rendered by Jinja when it comes
        from the conf or an XCom.
    :param routing_table: path of the routing table; default: ``[incident] routing_table``. Without one, nobody
        is invited but whom the payload names. (templated)
    :returns: an :class:`~airflow_incident_provider.models.Incident`, pushed to XCom. The task is skipped when
        the payload opens no incident (a recovery, say).
    :raises AirflowFailException: when the payload or the routing table cannot be read: the message names the
        field, its value and what would be right.

    .. code-block:: python

        ParseIncidentOperator(
            task_id="parse",
            payload={"title": "Orders table is two hours late", "severity": "high", "users": ["dana@acme.example"]},
        )
    """

    template_fields: Sequence[str] = ("routing_table",)
    operator_extra_links = (MonitorLink(),)
    ui_color = "#fdf1e3"

    def __init__(
        self, *, payload: Mapping[str, Any] | None = None, routing_table: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.payload = payload
        self.routing_table = routing_table

    def run_step(self, context: Context) -> Incident:
        """Read the payload."""
        from airflow_incident_provider.intake import read_incident

        payload = self.payload or context["dag_run"].conf or dict(context["params"])
        try:
            incident = read_incident(payload, received_at=_received_at(context), routing=self._routing())
        except NotAnIncidentError as error:
            raise AirflowSkipException(str(error)) from None
        for flag in incident.flags:
            self.log.warning("Odd in the payload: %s %r: %s", flag.field, flag.value, flag.note)
        self.log.info("Incident %s, %s: %s", incident.key, incident.severity, incident.title)
        MonitorLink.persist(context, incident)
        return incident

    def _routing(self) -> RoutingTable:
        from airflow_incident_provider.intake.routing import RoutingTable, load_routing_table

        path = self.routing_table or conf.get("incident", "routing_table", fallback=None)
        if not path:
            return RoutingTable()
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RoutingTableError(
                f"The routing table {path} cannot be read: {error}.",
                fix="Correct [incident] routing_table, or the file's permissions.",
            ) from error
        return load_routing_table(text)


def _received_at(context: Context) -> datetime:
    """Return when the alert reached us: when the run was asked for, as far as Airflow knows."""
    dag_run = context["dag_run"]
    started = dag_run.start_date or datetime.now(UTC)
    asked = dag_run.run_after
    # A run of `airflow dags test` or a backfill is asked for "at" its logical date, which may be any time.
    return asked if asked is not None and timedelta() <= started - asked < _LONGEST_QUEUE else started
