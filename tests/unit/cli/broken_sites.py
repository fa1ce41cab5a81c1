"""A good set-up, and what can be wrong with one: how, and which line of the check tells it, with which fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault
from incident_sandbox.seed import FULL_SCOPES

from airflow_incident_provider.cli.checks.context import CheckContext
from airflow_incident_provider.cli.setup.datadog import WEBHOOK_NAME

from .conftest import DAG_ID, DAGS  # isort: skip


@dataclass(kw_only=True)
class SiteUnderTest:
    """A set-up that is good until a test breaks something of it."""

    slack: Any
    control: Any
    connect: Callable[..., Any]
    connect_datadog: Callable[..., None]
    connect_webhook: Callable[..., None]
    route_by: Callable[[Any], None]
    dag: Callable[..., None]
    patch: pytest.MonkeyPatch
    tmp_path: Path
    deserted_port: int
    arguments: list[str] = field(default_factory=list)

    def set(self, section: str, **options: str) -> None:
        for name, value in options.items():
            self.patch.setenv(f"AIRFLOW__{section.upper()}__{name.upper()}", value)


Break = Callable[[SiteUnderTest], object]
BROKEN: dict[str, tuple[Break, str, str, str, str]] = {
    "no Slack connection": (
        lambda s: s.patch.delenv("AIRFLOW_CONN_SLACK_API_DEFAULT"),
        "slack", "token", "fail", "SLACK_BOT_TOKEN",
    ),
    "a token that Slack refuses": (
        lambda s: s.connect(token="xoxb-wrong"),
        "slack", "token", "fail", "Reinstall the Slack app",
    ),
    "Slack is not reached": (
        lambda s: s.connect(base_url=f"http://127.0.0.1:{s.deserted_port}/api/"),
        "slack", "token", "fail", "reaches slack.com",
    ),
    "a scope that rooms need": (
        lambda s: s.connect(s.control.add_token("few", scopes=without("chat:write"))),
        "slack", "scope chat:write", "fail", "OAuth & Permissions",
    ),
    "a scope that a nicety needs": (
        lambda s: s.connect(s.control.add_token("few", scopes=without("pins:write"))),
        "slack", "scope pins:write", "warn", "OAuth & Permissions",
    ),
    "apps may not make channels": (
        lambda s: (s.control.add_fault(Fault(method="conversations.create", error="restricted_action")),
                   s.arguments.append("--write")),
        "slack", "rooms", "fail", "administrator",
    ),
    "a clock that is wrong": (
        lambda s: s.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) + timedelta(minutes=5)),
        "clock", "clock", "fail", "time service",
    ),
    "a clock that drifts": (
        lambda s: s.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) - timedelta(seconds=40)),
        "clock", "clock", "warn", "time service",
    ),
    "the DAG is paused": (lambda s: s.dag(is_paused=True), "dag", DAG_ID, "fail", "Unpause it."),
    "the DAG is missing": (lambda s: s.dag(is_stale=True), "dag", DAG_ID, "fail", "DAGs folder"),
    "the DAG is broken": (lambda s: s.dag(has_import_errors=True), "dag", DAG_ID, "fail", "UI"),
    "another DAG is broken": (lambda _: import_error(), "dag", "import errors", "fail", "Mend the file."),
    "a pool that there is not": (
        lambda s: pooled_dag(s.tmp_path, s.arguments),
        "pool", "incidents", "fail", "setup airflow",
    ),
    "no scheduler": (lambda _: no_heartbeats(), "airflow", "scheduler", "fail", "airflow scheduler"),
    "a sleepy scheduler": (
        lambda s: s.set("scheduler", scheduler_idle_sleep_time="1"),
        "airflow", "idle sleep", "warn", "scheduler_idle_sleep_time = 0.05",
    ),
    "an executor of one's own": (
        lambda s: s.set("core", executor="acme.SlowExecutor"),
        "airflow", "executor", "warn", "LocalExecutor",
    ),
    "no base URL": (lambda s: s.set("api", base_url=""), "airflow", "base URL", "warn", "[api] base_url"),
    "no Fernet key": (lambda s: s.set("core", fernet_key=""), "airflow", "Fernet key", "warn", "fernet_key"),
    "a misspelt setting": (
        lambda s: s.set("incident", routing_tabel="/x"),
        "airflow", "[incident]", "fail", "Did you mean routing_table?",
    ),
    "no Datadog connection": (
        lambda s: s.patch.delenv("AIRFLOW_CONN_DATADOG_DEFAULT"),
        "datadog", "keys", "warn", "DD_API_KEY",
    ),
    "a wrong Datadog key": (
        lambda s: s.connect_datadog(api_key="wrong"),
        "datadog", "keys", "fail", "Correct api_key",
    ),
    "a wrong application key": (
        lambda s: s.connect_datadog(app_key="wrong"),
        "datadog", "webhook", "fail", "app_key",
    ),
    "no application key": (lambda s: s.connect_datadog(app_key=""), "datadog", "keys", "fail", "its extra"),
    "Datadog has no webhook": (
        lambda s: s.slack.workspace.datadog.webhooks.clear(),
        "datadog", "webhook", "warn", "setup datadog",
    ),
    "an old payload template": (
        lambda s: s.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(payload="{}"),
        "datadog", "webhook", "warn", "setup datadog",
    ),
    "no webhook secret": (
        lambda s: s.patch.delenv("AIRFLOW_CONN_INCIDENT_WEBHOOK"),
        "webhook", "secret", "fail", "Add it to Airflow",
    ),
    "a webhook secret that is short": (
        lambda s: s.connect_webhook("short"),
        "webhook", "secret", "fail", "Correct the connection",
    ),
    "no API server": (
        lambda s: s.set("api", base_url=f"http://127.0.0.1:{s.deserted_port}"),
        "webhook", "reachable", "fail", "Start the API server",
    ),
    "no Docker Engine": (
        lambda s: s.patch.setenv("DOCKER_HOST", f"unix://{s.tmp_path}/none.sock"),
        "docker", "engine", "fail", "DOCKER_HOST",
    ),
    "no routing table": (
        lambda s: s.patch.delenv("AIRFLOW__INCIDENT__ROUTING_TABLE"),
        "routing", "table", "warn", "airflow incident setup files",
    ),
    "a routing table that is not there": (
        lambda s: s.set("incident", routing_table="/nowhere.yaml"),
        "routing", "table", "fail", "[incident] routing_table",
    ),
    "a routing table with a mistake": (
        lambda s: s.route_by("version: 1\ndefaults: {respondres: [dana@acme.example]}\n"),
        "routing", "table", "fail", "Correct",
    ),
    "a person who has left": (
        lambda s: s.route_by(bringing("@nobody-oncall")),
        "routing", "people: @nobody-oncall", "fail", "Correct it in the routing table",
    ),
    "a misspelt name": (
        lambda s: s.route_by(bringing("jon smiht")),
        "routing", "people: jon smiht", "fail", "perhaps Jon Smith",
    ),
    "a name for a private room": (
        lambda s: s.route_by(bringing("Alice Ng", private=True)),
        "routing", "people: Alice Ng", "fail", "routing table",
    ),
    "a probe that there is not": (
        lambda s: s.route_by({"defaults": {"probes": ["ping"]}}),
        "routing", "probes", "fail", "host_facts",
    ),
    "a DAG of a team that there is not": (
        lambda s: s.route_by(bringing("dana@acme.example", dag="payments_incidents")),
        "routing", "dag: payments_incidents", "fail", "Or correct the routing table",
    ),
    "a triage channel without the app": (
        lambda s: s.route_by({"triage": {"channel": "#incidents"}}),
        "routing", "triage channel", "fail", "/invite",
    ),
}  # fmt: skip


def without(scope: str) -> list[str]:
    return [each for each in FULL_SCOPES.split() if each != scope]


def bringing(name: str, **settings: Any) -> dict[str, Any]:
    return {"rules": [{"name": "r", "match": {"severity": "low"}, "responders": [name], **settings}]}


def import_error() -> None:
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(
            ParseImportError(filename="other.py", bundle_name="dags-folder", stacktrace="...\nKeyError: 'x'")
        )


def no_heartbeats() -> None:
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(Job).values(latest_heartbeat=datetime.now(UTC) - timedelta(hours=1)))


def pooled_dag(folder: Path, arguments: list[str]) -> None:
    """Have Airflow know a DAG whose tasks name a pool that there is not."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    source = (DAGS / "incident_response.py").read_text()
    source = source.replace('"retries": 3', '"pool": "incidents", "retries": 3').replace(DAG_ID, "pooled_incidents")
    (folder / "pooled.py").write_text(source)
    bag = DagBag(str(folder / "pooled.py"), bundle_path=folder, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "pooled_incidents").values(is_paused=False))
    arguments += ["--dag-id", "pooled_incidents"]


FOLLOWING = {
    "no scheduler": {"dag-processor"},
    "no application key": {"webhook"},
    "a wrong Datadog key": {"webhook"},
    "no webhook secret": {"reachable"},
    "a webhook secret that is short": {"reachable"},
    "a routing table that is not there": {"reachable"},
    "a DAG of a team that there is not": {"reachable"},
}
"""Lines that fail for the same reason."""
