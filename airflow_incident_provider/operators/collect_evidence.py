"""Collect what Datadog knows about an incident: beside the Slack steps, so that the room never waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, AirflowSkipException

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, TaskId, settings
from airflow_incident_provider.datadog.access import (
    DatadogAccess,
    DatadogAccessError,
    StateDirectoryError,
    state_directory,
)
from airflow_incident_provider.datadog.client import DEADLINE_S, DatadogClient
from airflow_incident_provider.evidence.collection import collect
from airflow_incident_provider.evidence.model import Evidence
from airflow_incident_provider.evidence.request import EvidenceRequest, request_for, safe_tag, with_rules
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.models import Finding, Incident, Verdict
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.registry.history import IncidentHistory
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.routing_file import active_routing_table


class CollectEvidenceOperator(IncidentStep):
    """Compare metrics with their baselines, list what changed, and follow abnormal calls to the service behind it.

    All calls are made side by side from the worker, with the keys of the connection; each finding cites the calls
    that it follows from. What Datadog does not answer in full is ``unknown``, with the reason; a hypothesis is only
    named with the evidence for it. Nothing that Datadog answers, or does not, fails the task.

    :param incident: an :class:`~airflow_incident_provider.models.Incident`; by default what
        ``parse_incident_event`` pushed, unless ``service`` or ``monitor_id`` is given. (templated)
    :param service: the service to look at instead. (templated)
    :param env: its environment. (templated)
    :param monitor_id: a monitor whose query is the metric to compare. (templated)
    :param query: a metric query to compare instead of the monitor's. (templated)
    :param window: how long before now, or before the alert, the metric may have become abnormal.
    :param datadog_conn_id: an Airflow connection of type ``datadog`` with ``api_key`` and ``app_key``, and
        optionally ``api_host``, ``event_intake_host`` and ``on_call_host``, in its extra. (templated)
    :param deadline: after this, what is not answered is ``unknown``.
    :param routing_table: path of the routing table, or what it would hold, for its section ``evidence``; default:
        ``[incident] routing_table``.
    :returns: an :class:`~airflow_incident_provider.evidence.model.Evidence`, pushed to XCom.

    .. code-block:: python

        CollectEvidenceOperator(task_id="what_changed", service="checkout", env="prod")
    """

    template_fields: Sequence[str] = ("incident", "service", "env", "monitor_id", "query", "datadog_conn_id")
    ui_color = "#efe6f7"

    def __init__(
        self,
        *,
        incident: Incident | Mapping[str, Any] | None = None,
        service: str | None = None,
        env: str | None = None,
        monitor_id: str | None = None,
        query: str | None = None,
        window: timedelta = timedelta(minutes=30),
        datadog_conn_id: str = DEFAULT_DATADOG_CONN_ID,
        deadline: timedelta = timedelta(seconds=DEADLINE_S),
        routing_table: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.incident = incident
        self.service = service
        self.env = env
        self.monitor_id = monitor_id
        self.query = query
        self.window = window
        self.datadog_conn_id = datadog_conn_id
        self.deadline = deadline
        self.routing_table = routing_table

    def run_step(self, context: Context) -> Evidence:
        """Ask Datadog, and remember what was found for the next incident of the same monitor or service."""
        incident = None
        if not (self.service or self.monitor_id):
            incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
            if incident is None:
                raise AirflowSkipException("There is no incident, and no service or monitor was named.")
        request = self._with_rules(self._request(incident))
        evidence = self._collect(request)
        for finding in evidence.findings:
            self.log.info("%s: %s: %s", finding.probe, finding.verdict.value, finding.summary)
        if incident is None:
            return evidence
        return evidence.model_copy(update={"past": self._past(context, incident, evidence)})

    def _request(self, incident: Incident | None) -> EvidenceRequest:
        now = datetime.now(UTC)
        if incident is not None:
            return request_for(incident, now=now).model_copy(update={"window": self.window})
        for name, value in (("service", self.service), ("env", self.env), ("monitor_id", self.monitor_id)):
            if value and safe_tag(value) is None:
                raise IncidentError(
                    f"{name} is {value[:80]!r}, which cannot be part of a query.",
                    fix="Use letters, digits, and any of _ . / : -",
                )
        return EvidenceRequest(
            service=self.service or None,
            env=self.env or None,
            monitor_id=self.monitor_id or None,
            query=self.query or None,
            alerted_at=now,
            now=now,
            window=self.window,
        )

    def _with_rules(self, request: EvidenceRequest) -> EvidenceRequest:
        try:
            return with_rules(request, active_routing_table(self.routing_table).table.evidence)
        except RoutingTableError as error:
            self.log.warning("Evidence is collected without the routing table: %s", error.message)
            return request

    def _collect(self, request: EvidenceRequest) -> Evidence:
        try:
            access = DatadogAccess.from_extra(
                BaseHook.get_connection(self.datadog_conn_id).extra_dejson, conn_id=self.datadog_conn_id
            )
            directory = state_directory(settings().datadog_state_folder, access.fingerprint)
        except AirflowNotFoundException:
            return _without_datadog(request, Verdict.SKIPPED, "no Datadog connection is configured")
        except (DatadogAccessError, StateDirectoryError) as error:
            self.log.warning("Datadog is not asked: %s %s", error.message, error.fix or "")
            return _without_datadog(request, Verdict.UNKNOWN, f"Datadog is not asked: {error.message}")
        client = DatadogClient(access, directory, deadline_s=self.deadline.total_seconds())
        return collect(request, client.fetch)

    def _past(self, context: Context, incident: Incident, evidence: Evidence) -> tuple[Any, ...]:
        try:
            history = IncidentHistory.of(context)
            past = history.recall(incident, evidence)
            history.remember(incident, evidence)
        except (KeyError, AirflowRuntimeError) as error:
            self.log.warning("Earlier incidents are not known: %s", type(error).__name__)
            return ()
        return past


def _without_datadog(request: EvidenceRequest, verdict: Verdict, reason: str) -> Evidence:
    """Return evidence that says why there is none."""
    finding = Finding(
        probe="metric", target=request.service or "", verdict=verdict, summary=reason, started_at=request.now
    )
    return Evidence(service=request.service, env=request.env, monitor_id=request.monitor_id, findings=(finding,))
