"""
Run the lifecycle of an incident without Airflow: webhook decisions, registry and tasks in one process.

Tests control the time of decisions and of due runs. Slack is the sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
)
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.entities import Message

from airflow_incident_provider.config import DagId, TaskId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.lifecycle.actions import Outcome, apply_action
from airflow_incident_provider.lifecycle.coordination import ActionKind, Actor, ActorSource, IncidentAction
from airflow_incident_provider.lifecycle.decision import Decision, decide
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest
from airflow_incident_provider.lifecycle.signals import read_signal
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    CreateWarRoomOperator,
    FinalSummaryOperator,
    InvestigateInContainerOperator,
    ParseIncidentOperator,
    PlanInvestigationOperator,
    PlanRecheckOperator,
    PostIncidentUpdateOperator,
    PostThreadUpdateOperator,
    RecoverIncidentOperator,
    ResolveIncidentOperator,
    ResolveSlackUsersOperator,
    ScheduleNextCheckOperator,
    SetupSlackOperator,
)
from airflow_incident_provider.registry.actions import responders
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS, Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition, UpdateBatch

DAG_FILE = Path(__file__).parents[3] / "dags" / "incident_update.py"
ALICE, JOSE, DANA, BOT = "U0ALICENG01", "U0JOSEGARC1", "U0DANAREYES", "U0WARROOM01"
ACTOR = Actor(name="alice.ng", slack_id=ALICE, source=ActorSource.SLACK)
TABLE = """
version: 1
rules:
  - {name: checkout, match: {service: checkout}, responders: [alice.ng@acme.example], targets: [shop.example.com]}
  - {name: worst, match: {severity: critical}, responders: [José García, nobody@acme.example]}
lifecycle: {quiet_period: 10m, archive_delay: 24h, reopen_window: 60m}
"""
DAG_WITH_PROBE = DAG("d")
"""A DAG with a probe task, from which steps collect findings."""
InvestigateInContainerOperator(task_id="investigate", probe={}, dag=DAG_WITH_PROBE)
FIRST_STEPS: tuple[tuple[str, type[Any]], ...] = (
    ("parse_incident_event", ParseIncidentOperator),
    ("setup_slack_integration", SetupSlackOperator),
    ("resolve_slack_users", ResolveSlackUsersOperator),
    ("plan_investigation", PlanInvestigationOperator),
    ("create_war_room", CreateWarRoomOperator),
)
LAST_STEPS: tuple[tuple[str, type[Any]], ...] = (
    ("post_investigation_updates", PostThreadUpdateOperator),
    ("final_summary", FinalSummaryOperator),
)


class JsonStore(dict[str, Any]):
    """Fake Airflow state store that serializes values as JSON."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


class FakeTaskInstance:
    """Fake task instance; the harness keeps the XComs of all runs."""

    def __init__(self, harness: LifecycleHarness, dag_id: str, run_id: str, task_id: str) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = dag_id, run_id, task_id, -1
        self.try_number, self.max_tries = 1, 0
        self._harness = harness

    def xcom_push(self, key: str, value: Any) -> None:
        self._harness.xcoms[self.dag_id, self.run_id, self.task_id, key] = value

    def xcom_pull(
        self,
        task_ids: str | list[str],
        key: str = "return_value",
        dag_id: str | None = None,
        run_id: str | None = None,
    ) -> Any:
        place = (dag_id or self.dag_id, run_id or self.run_id)
        if isinstance(task_ids, str):
            return self._harness.xcoms.get((*place, task_ids, key))
        found = (self._harness.xcoms.get((*place, task_id, key)) for task_id in task_ids)
        return [
            part for value in found if value is not None for part in (value if isinstance(value, list) else [value])
        ]

    def get_task_states(self, **_: object) -> dict[str, dict[str, str]]:
        run = (self.dag_id, self.run_id)
        done = {task for *where, task, key in self._harness.xcoms if tuple(where) == run and key == "return_value"}
        failed = {task for *where, task in self._harness.failed if tuple(where) == run}
        return {self.run_id: dict.fromkeys(done, "success") | dict.fromkeys(failed, "failed")}

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self._harness.run_states.get((dag_id, run_id), "success")


class LifecycleHarness:
    """Simulate the lifecycle of one or several incidents.

    :param table: the routing table, as YAML.
    """

    def __init__(self, table: str) -> None:
        self.routing: RoutingTable = load_routing_table(table)
        self.rules = self.routing
        self.now = datetime.now(UTC)
        self.assets = JsonStore()
        self.inbox: dict[Any, JsonStore] = {}
        self.xcoms: dict[tuple[str, str, str, str], Any] = {}
        self.run_states: dict[tuple[str, str], str] = {}
        self.stores: dict[tuple[str, str, str], JsonStore] = {}
        self.failed: set[tuple[str, str, str]] = set()
        self.requested: list[tuple[str, str, dict[str, Any], datetime]] = []
        self.key = ""
        self.user: str | None = None
        self._updates = self._actions = 0

    # --- webhook ----------------------------------------------------------------------

    def advance_time(self, **time: float) -> None:
        self.now += timedelta(**time)

    def alert(self, payload: dict[str, Any]) -> Decision:
        """Process an alert that arrives now."""
        signal = read_signal({"datadog": payload}, received_at=self.now, routing=self.routing)
        decision = decide(signal, [one.record for one in self._stored()], self.rules, self.now)
        assert decision.record is not None
        assert decision.changed
        self.key = self.key or decision.record.key
        self._write(decision.record)
        return decision

    def _stored(self) -> list[StoredIncident]:
        keys = [key.removeprefix("record/") for key in self.assets if key.startswith("record/")]
        return [self.stored(key) for key in keys]

    def stored(self, key: str | None = None) -> StoredIncident:
        """Return an incident as stored in the registry."""
        from airflow_incident_provider.registry.task_client import TaskRegistry

        found = TaskRegistry(self.assets).incident(key or self.key)
        assert found is not None
        return found

    @property
    def record(self) -> IncidentRecord:
        return self.stored().record

    def _write(self, record: IncidentRecord) -> None:
        before = self.assets.get(Kind.RECORD.key(record.key))
        version = before["version"] + 1 if before else 1
        self.assets.set(Kind.RECORD.key(record.key), StoredIncident(version=version, record=record).to_json())
        if version == 1:
            self.assets.set(Kind.TRANSITION.key(record.key), Transition().model_dump(mode="json"))

    def act(self, kind: ActionKind, **options: Any) -> tuple[RunRequest, ...]:
        """Apply an action of Alice as a button does; return the runs that it starts."""
        self._actions += 1
        action = IncidentAction(id=f"action-{self._actions}", kind=kind, at=self.now, actor=ACTOR, **options)
        applied = apply_action(self.record, action, responders_for=lambda changed: responders(changed, self.rules))
        assert applied.outcome is Outcome.APPLIED, applied.reply
        self._write(applied.record)
        if not applied.record.pending:
            return applied.runs
        update = RunRequest(
            dag_id=DagId.INCIDENT_UPDATE, run_id=self.queue_update(), conf={"incident_key": self.key}
        )
        return (*applied.runs, update)

    def queue_update(self) -> str:
        """Move the pending updates to a new update run and return its id."""
        self._updates += 1
        run_id, record = f"upd.{self.key}.{self._updates}", self.record
        batch = UpdateBatch(incident=self.key, items=record.pending, dropped=record.pending_dropped)
        self.assets.set(Kind.UPDATES.key(run_id), batch.model_dump(mode="json"))
        self._write(record.without_pending())
        return run_id

    # --- tasks ------------------------------------------------------------------------------

    def context(
        self, task_id: str, run_id: str, *, dag_id: str = DagId.INCIDENT_UPDATE, **conf: Any
    ) -> dict[str, Any]:
        conf = conf or {"incident_key": self.key}
        return {
            "ti": FakeTaskInstance(self, dag_id, run_id, task_id),
            "dag": DAG_WITH_PROBE,
            "dag_run": SimpleNamespace(
                conf=conf, start_date=self.now, run_after=self.now, triggering_user_name=self.user
            ),
            "params": {},
            "task_state_store": self.stores.setdefault((dag_id, run_id, task_id), JsonStore()),
            "asset_state_store": {REGISTRY: self.assets, **self.inbox},
        }

    def run_task(self, operator: type[Any], run_id: str, **conf: Any) -> Any:
        """Run one task of ``incident_update`` and return its value; ``None`` if it is skipped."""
        task_id = TASK_IDS[operator]
        context = self.context(task_id, run_id, **({"incident_key": self.key} | conf))
        try:
            value = operator(task_id=task_id).execute(context)
        except AirflowSkipException:
            return None
        context["ti"].xcom_push("return_value", value)
        return value

    def start_from_form(self, run_id: str, **fields: Any) -> None:
        """Run ``incident_response`` up to the room with the conf of a trigger form.

        From now on, tasks report to the inbox, as those of ``incident_dag`` do.
        """
        self.inbox = {REPORTS: JsonStore()}
        for task_id, operator in FIRST_STEPS:
            context = self.context(task_id, run_id, dag_id=DagId.INCIDENT_RESPONSE, **fields)
            context["ti"].xcom_push("return_value", operator(task_id=task_id).execute(context))
        [self.key] = self.inbox[REPORTS]

    def run_response(self, decision: Decision, findings: list[Finding]) -> None:
        """Run the ``incident_response`` run of a decision; its probes return the findings."""
        request = next(run for run in decision.runs if run.dag_id == DagId.INCIDENT_RESPONSE)

        def step(task_id: str, operator: Callable[..., Any]) -> None:
            context = self.context(task_id, request.run_id, dag_id=DagId.INCIDENT_RESPONSE, **request.conf)
            context["ti"].xcom_push("return_value", operator(task_id=task_id).execute(context))

        for task_id, operator in FIRST_STEPS:
            step(task_id, operator)
        self.store_findings(DagId.INCIDENT_RESPONSE, request.run_id, findings)
        for task_id, operator in LAST_STEPS:
            step(task_id, operator)

    def run_response_with_failures(
        self, decision: Decision, findings: list[Finding], *, before: Callable[[str], None] = lambda _: None
    ) -> str:
        """Run ``incident_response``; record failed steps and continue, as Airflow does.

        :param before: called with each task id before the task runs.
        """
        request = next(run for run in decision.runs if run.dag_id == DagId.INCIDENT_RESPONSE)
        where = (DagId.INCIDENT_RESPONSE, request.run_id)
        for task_id, operator in (*FIRST_STEPS, *LAST_STEPS):
            before(task_id)
            if task_id == TaskId.POST_UPDATES:
                self.store_findings(*where, findings)
            context = self.context(task_id, request.run_id, dag_id=DagId.INCIDENT_RESPONSE, **request.conf)
            try:
                value = operator(task_id=task_id).execute(context)
            except AirflowSkipException:
                continue
            except (IncidentError, AirflowFailException):
                self.failed.add((*where, task_id))
            else:
                context["ti"].xcom_push("return_value", value)
        return request.run_id

    def run_requested(self) -> Any:
        """Run the last requested run of ``incident_update`` at its due time; return the posted value."""
        _, run_id, conf, at = self.requested.pop()
        self.now = max(self.now, at)
        if "post_incident_update" not in selected_tasks(self, run_id, **conf):
            return None
        try:
            return self.run_task(PostIncidentUpdateOperator, run_id, **conf)
        except (AirflowFailException, IncidentError):
            self.failed.add((DagId.INCIDENT_UPDATE, run_id, TaskId.POST_UPDATE))
            return None
        finally:
            self.schedule(run_id, **conf)

    def schedule(self, run_id: str, **conf: Any) -> None:
        """Run ``schedule_next_check`` and keep the run that it requests, if any."""
        context = self.context(TaskId.SCHEDULE_NEXT_CHECK, run_id, **({"incident_key": self.key} | conf))
        try:
            ScheduleNextCheckOperator(task_id=TaskId.SCHEDULE_NEXT_CHECK).execute(context)
        except DagRunTriggerException as trigger:
            due = trigger.run_after or self.now
            self.requested.append((trigger.trigger_dag_id, str(trigger.dag_run_id), trigger.conf or {}, due))
        except AirflowSkipException:
            pass

    def store_findings(self, dag_id: str, run_id: str, findings: list[Finding]) -> None:
        """Store findings as the result of a run's probes."""
        self.xcoms[dag_id, run_id, "investigate", "return_value"] = [each.to_xcom() for each in findings]


TASK_IDS: dict[type[Any], str] = {
    PostIncidentUpdateOperator: TaskId.POST_UPDATE,
    PlanRecheckOperator: TaskId.PLAN_RECHECK,
    RecoverIncidentOperator: TaskId.RECOVER_INCIDENT,
    ResolveIncidentOperator: TaskId.RESOLVE_INCIDENT,
    ArchiveWarRoomOperator: TaskId.ARCHIVE_WAR_ROOM,
    ScheduleNextCheckOperator: TaskId.SCHEDULE_NEXT_CHECK,
}


def finding(
    probe: str, verdict: Verdict, summary: str, target: str = "https://checkout.example.com/healthz"
) -> Finding:
    return Finding(
        probe=probe, target=target, verdict=verdict, summary=summary, started_at=datetime.now(UTC), evidence=summary
    )


BROKEN = [
    finding("http", Verdict.FAIL, "HTTP 503 after 212 ms"),
    finding("control", Verdict.OK, "our own network is fine", ""),
]
HEALTHY = [
    finding("http", Verdict.OK, "HTTP 200 after 35 ms"),
    finding("control", Verdict.OK, "our own network is fine", ""),
]


class Room:
    """Read the room of an incident in Slack."""

    def __init__(self, control: SandboxClient, harness: LifecycleHarness) -> None:
        self._control, self._harness = control, harness

    @property
    def id(self) -> str:
        return str(self._harness.record.room.channel_id)

    @property
    def state(self) -> dict[str, Any]:
        return self._control.channel(self.id)

    @property
    def brief(self) -> dict[str, Any]:
        return next(m for m in self.state["messages"] if m["ts"] == self._harness.record.room.brief_ts)

    @property
    def thread(self) -> list[str]:
        """Return the replies under the brief, without the first one."""
        return [json.dumps(m["blocks"], ensure_ascii=False) for m in self.brief["replies"]][1:]

    def posted(self, part: str) -> list[str]:
        """Return the messages in the channel whose key contains a text."""
        return [
            json.dumps(m["blocks"], ensure_ascii=False)
            for m in self.state["messages"]
            if part in m.get("metadata", {}).get("event_payload", {}).get("key", "")
        ]


class Monitor:
    """Send alerts of one monitor to the harness."""

    def __init__(self, harness: LifecycleHarness, payload: dict[str, Any]) -> None:
        self._harness, self._payload, self._sent = harness, payload, 0

    def __call__(self, transition: str, priority: str = "P3", *, cycle: str = "1", **changed: Any) -> Any:
        self._sent += 1
        self._harness.advance_time(seconds=1)
        at = str(int(self._harness.now.timestamp() * 1000))
        payload = {**self._payload, "id": str(self._sent), "date": at, "last_updated": at}
        payload["alert"] = {
            **self._payload["alert"],
            "transition": transition,
            "priority": priority,
            "cycle_key": cycle,
            "title": f"[{priority}] [{transition}] Checkout 5xx ratio above 2%",
            **changed,
        }
        return self._harness.alert(payload)


@contextmanager
def one_hour_earlier(harness: LifecycleHarness, slack: SandboxServer) -> Iterator[None]:
    """Run the body of the ``with`` statement one hour in the past."""
    workspace = slack.workspace
    clock, workspace._last_ts = workspace.clock, 0
    workspace.clock = lambda: clock() - 3600
    harness.now -= timedelta(hours=1)
    yield
    workspace.clock = clock
    harness.now += timedelta(hours=1)


def post_messages(slack: SandboxServer, channel: str, messages: int) -> None:
    """Post messages of a person to a channel."""
    target = slack.workspace.channel_named(channel)
    assert target is not None
    for number in range(messages):
        slack.workspace.post(target, Message(ts="", user=ALICE, text=f"message {number}"))


def post_update(harness: LifecycleHarness) -> Any:
    """Post the pending updates."""
    return harness.run_task(PostIncidentUpdateOperator, harness.queue_update())


def recover(harness: LifecycleHarness, monitor: Monitor, findings: list[Finding]) -> str:
    """Recover the incident and post it with the findings of the recheck; return the run id."""
    monitor("Recovered", "P3")
    run_id = harness.queue_update()
    harness.run_task(PostIncidentUpdateOperator, run_id)
    assert harness.run_task(PlanRecheckOperator, run_id)
    harness.store_findings("incident_update", run_id, findings)
    harness.run_task(RecoverIncidentOperator, run_id)
    return run_id


def resolve(harness: LifecycleHarness) -> Any:
    """Run the check that is due after the quiet period."""
    harness.advance_time(minutes=11)
    return harness.run_task(ResolveIncidentOperator, "look.resolve")


def selected_tasks(harness: LifecycleHarness, run_id: str, **conf: Any) -> set[str]:
    """Return the tasks that ``select_due_tasks`` does not skip."""
    from airflow.dag_processing.dagbag import DagBag

    task = DagBag(str(DAG_FILE)).dags["incident_update"].get_task("select_due_tasks")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        task.execute(harness.context("select_due_tasks", run_id, **conf))
    return task.downstream_task_ids - set(skipped.value.tasks)


def schedule_next_check(harness: LifecycleHarness, run_id: str) -> Any:
    return ScheduleNextCheckOperator(task_id="schedule_next_check").execute(
        harness.context("schedule_next_check", run_id)
    )
