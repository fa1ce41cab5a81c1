"""Step 1: a payload becomes an :class:`~airflow_incident_provider.models.Incident`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSkipException
from pydantic import ValidationError

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.lifecycle.decision import reported_record
from airflow_incident_provider.lifecycle.records import Assignment
from airflow_incident_provider.models import Incident, ParseWarning, Source
from airflow_incident_provider.operators.base import IncidentStep, requested_by
from airflow_incident_provider.operators.links import MonitorLink, keep_links
from airflow_incident_provider.registry.records import PRIVATE_ALERT, Rejection
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.routing_file import active_routing_table
from airflow_incident_provider.text import digest_of, distinct, one_line, redact, shorten

_LONGEST_QUEUE = timedelta(hours=1)


class ParseIncidentOperator(IncidentStep):
    """Read a Datadog payload or a hand-written conf as one incident, and route it.

    :param payload: what to read; by default the run's conf. Text in it is never rendered by Jinja when it comes
        from the conf or an XCom. (templated)
    :param routing_table: path of the routing table, or what it would hold; default: ``[incident] routing_table``.
        Without one, only the people in the payload are invited. (templated)
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

    template_fields: Sequence[str] = ("payload", "routing_table")
    operator_extra_links = (MonitorLink(),)
    ui_color = "#fdf1e3"

    def __init__(
        self,
        *,
        payload: Mapping[str, Any] | None = None,
        routing_table: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.payload = payload
        self.routing_table = routing_table
        self._payload_is_passed = payload is not None

    def run_step(self, context: Context) -> Incident:
        """Read the payload."""
        given = self.payload if self._payload_is_passed else context["dag_run"].conf or context["params"]
        payload = dict(given or {})
        assignment = _assignment(payload.pop(ConfKey.ASSIGNMENT, None))
        received_at = assignment.received_at if assignment else _received_at(context)
        active = active_routing_table(self.routing_table)
        try:
            incident = read_incident(payload, received_at=received_at, routing=active.table)
        except NotAnIncidentError as error:
            raise AirflowSkipException(str(error)) from None
        except InvalidPayloadError as error:
            self._report_rejection(context, payload, error, active.table)
            raise
        if active.problem is not None:
            incident = incident.model_copy(update={"flags": (active.problem.warning(), *incident.flags)})
        if assignment is not None:
            incident = incident.model_copy(
                update={
                    "key": assignment.key,
                    "title": assignment.title,
                    "severity": assignment.severity or incident.severity,
                    "flags": (*assignment.warnings, *incident.flags),
                }
            )
        else:
            incident = with_reporter(incident, requested_by(context))
            if not self._payload_is_passed:
                incident = with_named_dag(incident, active_routing_table().table, context["ti"].dag_id)
            self._report(context, payload, incident, active.table)
        for flag in incident.flags:
            self.log.warning("%s %r: %s", flag.field, flag.value, flag.note)
        self.log.info("Incident %s, %s: %s", incident.key, incident.severity, incident.title)
        keep_links(self, incident)
        return incident

    def _report_rejection(
        self, context: Context, payload: Mapping[str, Any], error: InvalidPayloadError, table: RoutingTable
    ) -> None:
        """Report a payload that cannot become an incident, so that the incidents page shows it and why."""
        ti = context["ti"]
        title = payload.get("title")
        shown = shorten(redact(one_line(title)), 200) if isinstance(title, str) and title else "Without a title"
        is_private = table.text_may_be_private(json.dumps(payload, default=str, ensure_ascii=False))
        rejection = Rejection(
            id=digest_of((ti.dag_id, ti.run_id)),
            at=datetime.now(UTC),
            source=f"run {ti.run_id} of {ti.dag_id}",
            title=PRIVATE_ALERT if is_private else shown,
            reason=shorten(redact(error.message), 500),
            dag_id=ti.dag_id,
            run_id=ti.run_id,
        )
        try:
            TaskRegistry.of(context).report_rejection(rejection)
        except (KeyError, AirflowRuntimeError) as problem:
            self.log.warning("The incidents page does not show this report: %s", problem)

    def _report(
        self, context: Context, payload: Mapping[str, Any], incident: Incident, routing: RoutingTable
    ) -> None:
        """Report an incident that did not arrive through the webhook, so that it has a record like any other."""
        ti = context["ti"]
        try:
            registry = TaskRegistry.of(context)
            record = reported_record(payload, incident, routing, dag_id=ti.dag_id, run_id=ti.run_id)
            is_recorded = registry.report_incident(record)
        except (KeyError, AirflowRuntimeError) as error:
            self.log.warning("The incident has no record in the registry: %s", error)
            return
        if not is_recorded:
            self.log.warning("The incident has no record: name REPORTS in the inlets of this task.")


def with_reporter(incident: Incident, user: str | None) -> Incident:
    """Return the incident with the person who reported it; one known by e-mail address is invited, too.

    :param user: the Airflow user who started the run. A user name is no Slack name, so it invites nobody.
    """
    if user is None or incident.source is not Source.MANUAL:
        return incident
    is_email = "@" in user.strip("@") and " " not in user
    responders = distinct([*incident.responders, user]) if is_email else incident.responders
    return incident.model_copy(update={"reporter": user, "responders": responders})


def with_named_dag(incident: Incident, routing: RoutingTable, dag_id: str) -> Incident:
    """Return the incident with a warning if the platform's routing table names another DAG for it.

    The webhook and ``airflow incident trigger`` start the DAG that the table names. A run that the form or the REST
    API started belongs to the DAG that a person chose.
    """
    named = routing.route(incident).dag_id
    if named in (None, dag_id):
        return incident
    note = f"The routing table names this DAG; the run was started in {dag_id}, so its people and rules apply."
    warning = ParseWarning(field="route.dag", value=str(named), note=note)
    return incident.model_copy(update={"flags": (warning, *incident.flags)})


def _assignment(given: object) -> Assignment | None:
    """Return what the webhook decided about the alert, if it started this run."""
    if given is None:
        return None
    try:
        return Assignment.model_validate(given)
    except ValidationError as error:
        raise InvalidPayloadError(
            f"{ConfKey.ASSIGNMENT}: not what the webhook writes there ({error.error_count()} errors).",
            fix="Leave it out of a conf that you write yourself.",
        ) from None


def _received_at(context: Context) -> datetime:
    """Return when the alert reached us: when the run was asked for, as far as Airflow knows."""
    dag_run = context["dag_run"]
    started = dag_run.start_date or datetime.now(UTC)
    asked = dag_run.run_after
    # A run of `airflow dags test` or a backfill is asked for "at" its logical date, which may be any time.
    return asked if asked is not None and timedelta() <= started - asked < _LONGEST_QUEUE else started
