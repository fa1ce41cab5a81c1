"""Ways to break an installation, with the expected line of ``airflow incident check`` and the repair.

``repair`` follows the text of the fix. If the line has a command, the test runs the command afterwards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from incident_sandbox import Fault
from incident_sandbox.interactivity import SIGNING_SECRET
from incident_sandbox.seed import APP_LEVEL_TOKEN

from airflow_incident_provider.cli.checks.context import CheckContext
from airflow_incident_provider.cli.setup.datadog import SECRET_VARIABLE, WEBHOOK_NAME

from .installation import FERNET_KEY, TABLE, Installation, record_import_errors, scopes_without

Step = Callable[[Installation], object]


@dataclass(frozen=True)
class Case:
    """One way to break an installation.

    :param fix: expected part of the fix.
    :param command: whether the line must have a command to paste.
    :param related: other lines of the area that may fail for the same reason.
    """

    break_installation: Step
    area: str
    check: str
    result: str
    fix: str
    repair: Step = lambda _: None
    command: bool = False
    related: frozenset[str] = frozenset()


def case(  # noqa: PLR0917 - a table
    area: str, check: str, result: str, fix: str, break_installation: Step, repair: Step | None = None,
    *, command: bool = False, related: tuple[str, ...] = (),
) -> Case:  # fmt: skip
    return Case(
        break_installation, area, check, result, fix, repair or (lambda _: None), command, frozenset(related)
    )


def setting(section: str, name: str, invalid: str, valid: str) -> tuple[Step, Step]:
    """Return steps that break and repair a setting."""
    return lambda i: i.set(section, **{name: invalid}), lambda i: i.set(section, **{name: valid})


def fault(error: str, *methods: str) -> Step:
    return lambda i: [i.control.add_fault(Fault(method=method, error=error)) for method in methods]


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def table_with_rules(*extra: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {**TABLE, "rules": [*TABLE["rules"], *extra], **sections}


def table_with_responders(name: str, **fields: Any) -> dict[str, Any]:
    return table_with_rules({"name": "r", "match": {"severity": "low"}, "responders": [name], **fields})


def table_for_severity(severity: str) -> dict[str, Any]:
    rule = {"name": "s", "match": {"severity": severity}, "responders": ["dana@acme.example"]}
    return table_with_rules(rule, defaults={})


def add_team_dag(**arguments: Any) -> Step:
    return lambda i: i.add_dag("logistics_incident", **arguments)


def set_token_variables(i: Installation) -> None:
    i.patch.setenv("SLACK_BOT_TOKEN", i.slack.token)
    i.patch.setenv("SLACK_BASE_URL", i.slack.slack_base_url)


CERTIFICATE = json.dumps({"certificate": "PEM"})
NOTIFIER = "airflow_incident_provider.notifications.no_room.NoRoomNotifier"


OTHER_DAG = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("nightly", schedule=None):
    EmptyOperator(task_id="nothing")
"""
UNTAGGED_DAG = """
from airflow.sdk import DAG
from airflow_incident_provider.operators import ParseIncidentOperator

with DAG("nightly", schedule=None, max_active_runs=100):
    ParseIncidentOperator(task_id="parse")
"""


def table_with_nightly_dag() -> dict[str, Any]:
    return table_with_rules({"name": "n", "match": {"team": "n"}, "dag": "nightly"})


def table_with_certificate() -> dict[str, Any]:
    target = {"url": "https://partner.acme.example/", "client_certificate": "partner_probe"}
    return table_with_rules({"name": "partner", "match": {"service": "partner"}, "targets": [target]})


def set_task_api_url(i: Installation) -> None:
    i.set("core", execution_api_server_url=f"{os.environ['AIRFLOW__API__BASE_URL']}/execution/")


def table_with_unknown_probe() -> dict[str, Any]:
    return {"defaults": {"responders": ["dana@acme.example"], "probes": ["nope"]}}


def add_unparsed_dag(i: Installation) -> None:
    i.add_dag("late_incident", parse=False)


def edit_shipped_dag(i: Installation) -> None:
    path = i.dags_folder / "incident_response.py"
    write(path, path.read_text() + "\n# edited\n")


def remove_shipped_dag(i: Installation) -> None:
    (i.dags_folder / "incident_response.py").unlink()
    i.change_dag("incident_response", is_stale=True)


def mark_shipped_dag_stale(i: Installation) -> None:
    i.change_dag("incident_update", is_stale=True)


CASES: dict[str, Case] = {
    # --- Airflow
    "SQLite": case("airflow", "database", "warn", "PostgreSQL", lambda _: None),
    "no scheduler": case(
        "airflow", "scheduler", "fail", "Start it",
        lambda i: i.heartbeat("SchedulerJob", ago=timedelta(hours=1)), lambda i: i.heartbeat("SchedulerJob"),
    ),
    "no DAG processor": case(
        "airflow", "dag-processor", "fail", "Start it",
        lambda i: i.heartbeat("DagProcessorJob", ago=timedelta(hours=1)), lambda i: i.heartbeat("DagProcessorJob"),
    ),
    "no triggerer": case(
        "airflow", "triggerer", "warn", "room_deadline_seconds = 0",
        lambda i: i.heartbeat("TriggererJob", ago=timedelta(hours=1)), lambda i: i.heartbeat("TriggererJob"),
    ),
    "no triggerer, and no deadline": case(
        "airflow", "triggerer", "warn", "room_deadline_seconds = 0",
        lambda i: i.heartbeat("TriggererJob", ago=timedelta(hours=1)),
        lambda i: i.set("incident", room_deadline_seconds="0"),
    ),
    "a long idle sleep of the scheduler": case(
        "airflow", "idle sleep", "warn", "scheduler_idle_sleep_time = 0.05",
        *setting("scheduler", "scheduler_idle_sleep_time", "1", "0.05"),
    ),
    "an unknown executor": case(
        "airflow", "executor", "warn", "LocalExecutor", *setting("core", "executor", "acme.Slow", "LocalExecutor")
    ),
    "too few task slots": case(
        "airflow", "parallelism", "warn", "16", *setting("core", "parallelism", "4", "32")
    ),
    "spawned workers": case(
        "airflow", "preload", "warn", "mp_start_method = fork", *setting("core", "mp_start_method", "spawn", "fork")
    ),
    "forkserver workers": case(
        "airflow", "preload", "warn", "mp_start_method", *setting("core", "mp_start_method", "forkserver", "fork")
    ),
    "no base URL": case(
        "airflow", "base URL", "warn", "[api] base_url", *setting("api", "base_url", "", "https://airflow.acme.example")
    ),
    "a loopback base URL": case(
        "airflow", "base URL", "warn", "[api] base_url",
        *setting("api", "base_url", "http://127.0.0.1:8080", "https://airflow.acme.example"),
    ),
    "a base URL on localhost": case(
        "airflow", "base URL", "warn", "[api] base_url",
        *setting("api", "base_url", "https://localhost", "https://airflow.acme.example"),
    ),
    "a base URL on any address": case(
        "airflow", "base URL", "warn", "[api] base_url",
        *setting("api", "base_url", "http://0.0.0.0:8080", "https://airflow.acme.example"),
    ),
    "a base URL without TLS": case(
        "airflow", "base URL", "warn", "[api] base_url",
        *setting("api", "base_url", "http://airflow.acme.example", "https://airflow.acme.example"),
    ),
    "an invalid base URL": case(
        "airflow", "base URL", "fail", "[api] base_url",
        *setting("api", "base_url", "airflow.acme.example", "https://airflow.acme.example"),
    ),
    "no Fernet key": case(
        "airflow", "Fernet key", "warn", "fernet_key", *setting("core", "fernet_key", "", FERNET_KEY)
    ),
    "another state store": case(
        "airflow", "state store", "fail", "[state_store] backend",
        *setting("state_store", "backend", "acme.RedisBackend", "airflow.state.metastore.MetastoreBackend"),
    ),
    "a misspelled setting": case(
        "airflow", "[incident]", "fail", "Did you mean routing_table?",
        lambda i: i.set("incident", routing_tabel="/x"), lambda i: i.unset("AIRFLOW__INCIDENT__ROUTING_TABEL"),
    ),
    "a non-numeric deadline": case(
        "airflow", "[incident]", "fail", "a whole number",
        *setting("incident", "room_deadline_seconds", "soon", "60"),
    ),
    "a negative deadline": case(
        "airflow", "[incident]", "fail", "0 for none",
        *setting("incident", "room_deadline_seconds", "-5", "0"),
    ),
    "a resolver that is not an IP address": case(
        "airflow", "[incident]", "fail", "IP addresses", *setting("incident", "docker_dns", "dns.acme", "10.0.0.2")
    ),
    "a directory folder that is a file": case(
        "airflow", "[incident]", "fail", "Name a folder",
        lambda i: (write(i.home / "file", ""), i.set("incident", directory_folder=str(i.home / "file"))),
        lambda i: i.set("incident", directory_folder=str(i.home / "directory")),
    ),
    "a non-numeric lookup budget": case(
        "airflow", "[incident]", "fail", "Set it to a number",
        *setting("incident", "lookup_budget_seconds", "3s", "3"),
    ),
    "a negative lookup budget": case(
        "airflow", "[incident]", "fail", "0 to open at once",
        *setting("incident", "lookup_budget_seconds", "-1", "2"),
    ),
    "a cost limit with a currency": case(
        "airflow", "[incident]", "fail", "Set it to a number",
        *setting("incident", "ai_cost_limit", "$0.05", "0.05"),
    ),
    "a missing model connection": case(
        "airflow", "[incident]", "fail", "Add the connection",
        lambda i: i.set("incident", ai_conn_id="pydanticai_default"),
        lambda i: i.unset("AIRFLOW__INCIDENT__AI_CONN_ID"),
    ),
    "a missing Docker connection": case(
        "airflow", "[incident]", "fail", "Add the connection",
        lambda i: i.set("incident", docker_conn_id="docker_probes"),
        lambda i: i.connect("docker_probes", conn_type="docker"),
    ),
    "a Docker connection of another type": case(
        "airflow", "[incident]", "fail", "of type docker",
        lambda i: (i.set("incident", docker_conn_id="docker_probes"), i.connect("docker_probes", conn_type="http")),
        lambda i: i.connect("docker_probes", conn_type="docker"),
    ),
    "a probe proxy that is not a URL": case(
        "airflow", "[incident]", "fail", "http://host:port",
        *setting("incident", "probe_proxy", "proxy.acme.example:3128", "http://proxy.acme.example:3128"),
    ),
    "a missing CA file": case(
        "airflow", "[incident]", "fail", "PEM",
        lambda i: i.set("incident", probe_ca_file=str(i.home / "ca.pem")),
        lambda i: write(i.home / "ca.pem", "-----BEGIN CERTIFICATE-----\n"),
    ),
    "a CA file without certificates": case(
        "airflow", "[incident]", "fail", "PEM",
        lambda i: (write(i.home / "ca.der", "0"), i.set("incident", probe_ca_file=str(i.home / "ca.der"))),
        lambda i: write(i.home / "ca.der", "-----BEGIN CERTIFICATE-----\n"),
    ),
    "a Datadog state folder that is a file": case(
        "airflow", "[incident]", "fail", "Name a folder",
        lambda i: (write(i.home / "file", ""), i.set("incident", datadog_state_folder=str(i.home / "file"))),
        lambda i: i.set("incident", datadog_state_folder=str(i.home / "datadog")),
    ),
    "a missing notifier class": case(
        "airflow", "[incident]", "fail", "Correct the class",
        *setting("incident", "fallback_notifier", "acme.Pager", NOTIFIER),
    ),
    "notifier arguments that are not JSON": case(
        "airflow", "[incident]", "fail", "its arguments",
        lambda i: i.set("incident", fallback_notifier=NOTIFIER, fallback_notifier_arguments="to: x"),
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
    ),
    "unknown notifier arguments": case(
        "airflow", "[incident]", "fail", "fallback_notifier_arguments",
        lambda i: i.set("incident", fallback_notifier=NOTIFIER, fallback_notifier_arguments='{"nobody": 1}'),
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
    ),
    "notifier arguments without a notifier": case(
        "airflow", "[incident]", "fail", "Set fallback_notifier too",
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
        lambda i: i.set("incident", fallback_notifier=NOTIFIER),
    ),
    "an unreachable task API": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url=f"http://127.0.0.1:{i.unused_port}/execution/"),
        set_task_api_url,
    ),
    "another server at the task API URL": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url=f"{os.environ['AIRFLOW__API__BASE_URL']}/incidents/"),
        set_task_api_url,
    ),
    "a task API address that is not a URL": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url="airflow.acme.example/execution"), set_task_api_url,
    ),
    # --- DAGs and pools
    "no DAGs folder": case(
        "dag", "DAGs folder", "fail", "Create it",
        lambda i: (i.set("core", dags_folder=str(i.home / "nowhere")),
                   i.patch.setattr("airflow.settings.DAGS_FOLDER", str(i.home / "nowhere"))),
        command=True, related=("incident_response", "incident_update"),
    ),
    "incident_response is paused": case(
        "dag", "incident_response", "fail", "Unpause it",
        lambda i: i.change_dag("incident_response", is_paused=True), command=True,
    ),
    "incident_update is paused": case(
        "dag", "incident_update", "fail", "Unpause it",
        lambda i: i.change_dag("incident_update", is_paused=True), command=True,
    ),
    "a team's DAG is paused": case(
        "dag", "logistics_incident", "fail", "Unpause it",
        lambda i: (i.add_dag("logistics_incident"), i.change_dag("logistics_incident", is_paused=True)),
        command=True,
    ),
    "a missing DAG file": case(
        "dag", "incident_response", "fail", "Install it", remove_shipped_dag, command=True
    ),
    "a DAG of the routing table without a file": case(
        "dag", "ghost_incident", "fail", "incident_dag('ghost_incident')",
        lambda i: i.route(table_with_rules({"name": "g", "match": {"team": "ghost"}, "dag": "ghost_incident"})),
        lambda i: i.add_dag("ghost_incident"),
    ),
    "an unparsed DAG file": case(
        "dag", "incident_update", "fail", "Airflow looks for new files every 300 s",
        mark_shipped_dag_stale, command=True,
    ),
    "an unparsed team DAG file": case(
        "dag", "unparsed file", "warn", "Parse it now", add_unparsed_dag, command=True
    ),
    "a DAG file that fails to import": case(
        "dag", "import errors", "fail", "Correct the file",
        lambda _: record_import_errors({("dags-folder", "other.py"): "...\nKeyError: 'x'"}),
        lambda _: record_import_errors({}),
    ),
    "an incident DAG that fails to import": case(
        "dag", "incident_response", "fail", "Correct the file",
        lambda i: i.change_dag("incident_response", has_import_errors=True),
        lambda i: i.change_dag("incident_response", has_import_errors=False),
    ),
    "an edited DAG file": case(
        "dag", "incident_response.py", "warn", "If you did not edit it", edit_shipped_dag, command=True
    ),
    "a DAG with few active runs": case(
        "dag", "logistics_incident", "warn", "max_active_runs",
        add_team_dag(max_active_runs=2), add_team_dag(max_active_runs=100),
    ),
    "a missing pool": case(
        "pool", "logistics_slack", "fail", "Create it",
        add_team_dag(slack_pool="logistics_slack"), lambda i: i.connect_slack(), command=True,
    ),
    "a pool with few slots": case(
        "pool", "logistics_slack", "warn", "16 or more",
        lambda i: (i.set_pool("logistics_slack", 2), i.add_dag("logistics_incident", slack_pool="logistics_slack")),
        command=True,
    ),
    "a pool without slots": case(
        "pool", "logistics_slack", "fail", "16 or more",
        lambda i: (i.set_pool("logistics_slack", 0), i.add_dag("logistics_incident", slack_pool="logistics_slack")),
        command=True,
    ),
    "incident_update fails to import": case(
        "dag", "incident_update", "fail", "Correct the file",
        lambda i: i.change_dag("incident_update", has_import_errors=True),
        lambda i: i.change_dag("incident_update", has_import_errors=False),
    ),
    "an edited incident_update": case(
        "dag", "incident_update.py", "warn", "If you did not edit it",
        lambda i: write(i.dags_folder / "incident_update.py", "# mine\n"), command=True,
    ),
    # --- Slack
    "no Slack connection": case(
        "slack", "token", "fail", "SLACK_BOT_TOKEN",
        lambda i: i.unset("AIRFLOW_CONN_SLACK_API_DEFAULT"), set_token_variables, command=True,
    ),
    "a team without its Slack connection": case(
        "slack", "token (slack_logistics)", "fail", "SLACK_BOT_TOKEN",
        add_team_dag(slack_conn_id="slack_logistics"), set_token_variables, command=True,
    ),
    "a connection without a token": case(
        "slack", "token", "fail", "password field", lambda i: i.connect_slack(token=""), lambda i: i.connect_slack()
    ),
    "a token that Slack refuses": case(
        "slack", "token", "fail", "", lambda i: i.connect_slack(token="xoxb-wrong"), lambda i: i.connect_slack()
    ),
    "a team's token that Slack refuses": case(
        "slack", "token (slack_logistics)", "fail", "",
        lambda i: (i.add_dag("logistics_incident", slack_conn_id="slack_logistics"),
                   i.connect_slack("slack_logistics", token="xoxb-wrong")),
        lambda i: i.connect_slack("slack_logistics"),
    ),
    "an invalid Slack base URL": case(
        "slack", "token", "fail", "Correct base_url",
        lambda i: i.connect_slack(base_url="slack.acme.example"), lambda i: i.connect_slack(),
    ),
    "a deactivated account": case(
        "slack", "token", "fail", "", fault("account_inactive", "auth.test"), lambda i: i.control.clear_faults()
    ),
    "a revoked token": case(
        "slack", "token", "fail", "", fault("token_revoked", "auth.test"), lambda i: i.control.clear_faults()
    ),
    "a token of another type": case(
        "slack", "token", "fail", "",
        fault("not_allowed_token_type", "auth.test"), lambda i: i.control.clear_faults(),
    ),
    "a team's app without chat:write": case(
        "slack", "scope chat:write (slack_logistics)", "fail", "OAuth & Permissions",
        lambda i: (
            i.add_dag("logistics_incident", slack_conn_id="slack_logistics"),
            i.connect_slack(
                "slack_logistics", token=i.control.add_token("few", scopes=scopes_without("chat:write"))
            ),
        ),
        lambda i: i.connect_slack("slack_logistics"),
    ),
    "an app-level token that Slack refuses": case(
        "slack", "Socket Mode", "fail", "connections:write",
        lambda i: i.connect_slack(app_token="xapp-wrong", signing_secret=SIGNING_SECRET),
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET),
    ),
    "a bot token instead of the app-level token": case(
        "slack", "Socket Mode", "fail", "connections:write",
        lambda i: i.connect_slack(app_token="xoxb-wrong", signing_secret=SIGNING_SECRET),
        lambda i: i.connect_slack(),
    ),
    "an app-level token without a signing secret": case(
        "slack", "Socket Mode", "fail", "signing_secret",
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN),
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET),
    ),
    "a rate-limited Socket Mode connection": case(
        "slack", "Socket Mode", "warn", "what else calls Slack",
        lambda i: (fault("ratelimited", "apps.connections.open")(i),
                   i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET)),
    ),
    "Slack is unreachable": case(
        "slack", "token", "fail", "network",
        lambda i: i.connect_slack(base_url=f"http://127.0.0.1:{i.unused_port}/api/"), lambda i: i.connect_slack(),
    ),
    "a missing required scope": case(
        "slack", "scope chat:write", "fail", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=scopes_without("chat:write"))),
        lambda i: i.connect_slack(),
    ),
    "a missing optional scope": case(
        "slack", "scope pins:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=scopes_without("pins:write"))),
        lambda i: i.connect_slack(),
    ),
    "a missing scope for canvases": case(
        "slack", "scope canvases:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=scopes_without("canvases:write"))),
        lambda i: i.connect_slack(),
    ),
    "a missing scope for charts": case(
        "slack", "scope files:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=scopes_without("files:write"))),
        lambda i: i.connect_slack(),
    ),
    "restricted channel creation": case(
        "slack", "rooms", "fail", "administrator",
        lambda i: (fault("restricted_action", "conversations.create")(i), i.arguments.append("--write")),
        lambda i: i.control.clear_faults(),
    ),
    "a wrong clock": case(
        "clock", "clock", "fail", "time service",
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) + timedelta(minutes=5)),
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC)),
    ),
    "a drifting clock": case(
        "clock", "clock", "warn", "time service",
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) - timedelta(seconds=40)),
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC)),
    ),
    # --- Datadog and the webhook
    "a wrong Datadog key": case(
        "datadog", "keys", "fail", "Correct api_key",
        lambda i: i.connect_datadog(api_key="wrong"), lambda i: i.connect_datadog(), related=("webhook",),
    ),
    "a wrong application key": case(
        "datadog", "webhook", "fail", "app_key",
        lambda i: i.connect_datadog(app_key="wrong"), lambda i: i.connect_datadog(),
    ),
    "a Datadog site without a scheme": case(
        "datadog", "keys", "fail", "Correct api_host",
        lambda i: i.connect_datadog(api_host="api.datadoghq.eu"), lambda i: i.connect_datadog(),
        related=("webhook",),
    ),
    "Datadog is unreachable": case(
        "datadog", "keys", "fail", "Correct api_host",
        lambda i: i.connect_datadog(api_host=f"http://127.0.0.1:{i.unused_port}"), lambda i: i.connect_datadog(),
        related=("webhook",),
    ),
    "another server at the Datadog host": case(
        "datadog", "keys", "fail", "api_host",
        lambda i: i.connect_datadog(api_host=f"{os.environ['AIRFLOW__API__BASE_URL']}/nothing"),
        lambda i: i.connect_datadog(), related=("webhook",),
    ),
    "a Datadog key with invalid characters": case(
        "datadog", "keys", "fail", "Correct api_key",
        lambda i: i.connect_datadog(api_key="ключ"), lambda i: i.connect_datadog(), related=("webhook",),
    ),
    "no application key": case(
        "datadog", "keys", "fail", "its extra",
        lambda i: i.connect_datadog(app_key=""), lambda i: i.connect_datadog(), related=("webhook",),
    ),
    "a missing Datadog webhook": case(
        "datadog", "webhook", "warn", "Create it",
        lambda i: i.slack.workspace.datadog.webhooks.clear(),
        lambda i: i.set("api", base_url="https://airflow.acme.example"), command=True,
    ),
    "an old payload template": case(
        "datadog", "webhook", "warn", "Update it",
        lambda i: i.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(payload="{}"),
        lambda i: i.set("api", base_url="https://airflow.acme.example"), command=True,
    ),
    "a webhook without its secret": case(
        "datadog", "webhook secret", "fail", "Create it",
        lambda i: i.slack.workspace.datadog.custom_variables.pop(SECRET_VARIABLE),
        lambda i: i.set("api", base_url="https://airflow.acme.example"), command=True,
    ),
    "a webhook to a loopback address": case(
        "datadog", "webhook URL", "warn", "--url",
        lambda i: i.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(url="http://127.0.0.1/x"),
        lambda i: i.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(url="https://airflow.acme.example/x"),
    ),
    "a webhook without TLS": case(
        "datadog", "webhook URL", "warn", "--url",
        lambda i: i.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(url="http://airflow.acme.example/x"),
        lambda i: i.slack.workspace.datadog.webhooks[WEBHOOK_NAME].update(url="https://airflow.acme.example/x"),
    ),
    "no webhook secret": case(
        "webhook", "secret", "fail", "INCIDENT_WEBHOOK_SECRET",
        lambda i: i.unset("AIRFLOW_CONN_INCIDENT_WEBHOOK"), command=True, related=("reachable",),
    ),
    "a short webhook secret": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook("short"), lambda i: i.connect_webhook(), related=("reachable",),
    ),
    "a short previous secret": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(previous_secret="old"), lambda i: i.connect_webhook(), related=("reachable",),
    ),
    "invalid allowed networks": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(allowed_networks=["everywhere"]), lambda i: i.connect_webhook(),
        related=("reachable",),
    ),
    "one invalid allowed network of two": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(allowed_networks="10.0.0.0/8,nowhere"), lambda i: i.connect_webhook(),
        related=("reachable",),
    ),
    "no API server": case(
        "webhook", "reachable", "fail", "start the API server",
        lambda i: (i.patch.setenv("WORKING_URL", os.environ["AIRFLOW__API__BASE_URL"]),
                   i.set("api", base_url=f"http://127.0.0.1:{i.unused_port}")),
        lambda i: i.set("api", base_url=os.environ["WORKING_URL"]),
    ),
    "a paused DAG reported by the API server": case(
        "webhook", "reachable", "fail", "the line of this area",
        lambda i: i.change_dag("incident_update", is_paused=True),
        lambda i: i.change_dag("incident_update", is_paused=False),
    ),
    # --- Docker
    "no Docker Engine": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", f"unix://{i.home}/none.sock"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "an invalid engine address": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", "nonsense://x"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "a missing Docker network": case(
        "docker", "network", "fail", "docker_network",
        lambda i: i.set("incident", docker_network=f"checked-{i.unused_port}"), command=True,
        related=("hardened container",),
    ),
    "a Docker network without external access": case(
        "docker", "hardened container", "fail", "docker_network",
        *setting("incident", "docker_network", "none", "bridge"),
    ),
    "an unreachable engine behind SSH": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", "ssh://nobody@127.0.0.1:1"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "an engine with missing TLS files": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: (i.patch.setenv("DOCKER_TLS_VERIFY", "1"), i.patch.setenv("DOCKER_CERT_PATH", str(i.home)),
                   i.patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")),
        lambda i: i.unset("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_HOST"),
    ),
    "an engine with a missing connection": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.set("incident", docker_conn_id="docker_probes"),
        lambda i: i.unset("AIRFLOW__INCIDENT__DOCKER_CONN_ID"),
    ),
    "a CA file that probes cannot use": case(
        "docker", "hardened container", "fail", "[incident]",
        lambda i: i.set("incident", probe_ca_file=str(i.home / "none.pem")),
        lambda i: i.unset("AIRFLOW__INCIDENT__PROBE_CA_FILE"),
    ),
    # --- routing
    "no routing table": case(
        "routing", "table", "warn", "[incident] routing_table",
        lambda i: i.unset("AIRFLOW__INCIDENT__ROUTING_TABLE"),
        lambda i: (i.table.unlink(), i.set("incident", routing_table=str(i.table))), command=True,
        related=("responders",),
    ),
    "a missing routing table": case(
        "routing", "table", "fail", "[incident] routing_table",
        lambda i: i.table.unlink(), command=True,
    ),
    "a misspelled key in the routing table": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route("version: 1\ndefaults: {respondres: [dana@acme.example]}\n"), lambda i: i.route(),
    ),
    "a routing table that is not YAML": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("rules: [\n"), lambda i: i.route()
    ),
    "a routing table that is a folder": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.set("incident", routing_table=str(i.home)),
        lambda i: i.set("incident", routing_table=str(i.table)),
    ),
    "a routing table that is not UTF-8": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.table.write_bytes(b"version: 1 # \xff"), lambda i: i.route(),
    ),
    "a routing table that is a list": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("- version: 1\n"), lambda i: i.route()
    ),
    "a routing table of a later version": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("version: 2\n"), lambda i: i.route()
    ),
    "a duplicate key in the routing table": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route("version: 1\nrules: []\nrules: []\n"), lambda i: i.route(),
    ),
    "an invalid allowed network in the routing table": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route(allowed_networks=["10.0.0.0/99"]), lambda i: i.route(),
    ),
    "an announcement channel without the app": case(
        "routing", "announcement channel", "fail", "announce",
        lambda i: i.route(announce="#incidents"), lambda i: i.route(announce="#triage"),
    ),
    "a missing announcement channel": case(
        "routing", "announcement channel", "fail", "/invite",
        lambda i: i.route(announce="#not-there"),
        lambda i: i.control.add_channel("not-there", members=["U0WARROOM01"]),
    ),
    "a client certificate without its connection": case(
        "routing", "client certificate partner_probe", "fail", "private_key",
        lambda i: i.route(table_with_certificate()),
        lambda i: i.connect("partner_probe", extra=json.dumps({"certificate": "PEM", "private_key": "PEM"})),
    ),
    "a client certificate without its key": case(
        "routing", "client certificate partner_probe", "fail", "private_key",
        lambda i: (i.route(table_with_certificate()), i.connect("partner_probe", extra=CERTIFICATE)),
        lambda i: i.connect("partner_probe", extra=CERTIFICATE, password="PEM"),
    ),
    "a rule that names the update DAG": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route(table_with_rules({"name": "t", "match": {"team": "t"}, "dag": "incident_update"})),
        lambda i: i.route(),
    ),
    "a rule that names an unrelated DAG": case(
        "routing", "dag: nightly", "fail", "incident_dag()",
        lambda i: (i.write_dag("nightly", OTHER_DAG), i.route(table_with_nightly_dag())),
        lambda i: i.add_dag("nightly"),
    ),
    "a rule that names a DAG without the tag": case(
        "routing", "dag: nightly", "fail", "add the tag",
        lambda i: (i.write_dag("nightly", UNTAGGED_DAG), i.route(table_with_nightly_dag())),
        lambda i: i.add_dag("nightly"),
    ),
    "a rule that names a paused DAG": case(
        "routing", "dag: logistics_incident", "fail", "Unpause it",
        lambda i: (i.add_dag("logistics_incident"), i.change_dag("logistics_incident", is_paused=True),
                   i.route(table_with_rules({"name": "t", "match": {"team": "t"}, "dag": "logistics_incident"}))),
        command=True,
    ),
    "a missing user group": case(
        "routing", "people: @nobody-oncall", "fail", "Correct it in the routing table",
        lambda i: i.route(table_with_responders("@nobody-oncall")), lambda i: i.route(),
    ),
    "a deactivated user": case(
        "routing", "people: dave@acme.example", "fail", "Correct it in the routing table",
        lambda i: i.route(table_with_responders("dave@acme.example")), lambda i: i.route(),
    ),
    "a misspelled name": case(
        "routing", "people: jon smiht", "fail", "candidates: Jon Smith",
        lambda i: i.route(table_with_responders("jon smiht")), lambda i: i.route(),
    ),
    "an ambiguous name": case(
        "routing", "people: Chris", "fail", "Use the e-mail address",
        lambda i: i.route(table_with_responders("Chris")), lambda i: i.route(),
    ),
    "a display name for a private room": case(
        "routing", "people: Alice Ng", "fail", "routing table",
        lambda i: i.route(table_with_responders("Alice Ng", private=True)), lambda i: i.route(),
    ),
    "an unknown probe": case(
        "routing", "probes", "fail", "The probes are",
        lambda i: i.route(defaults={"responders": ["dana@acme.example"], "probes": ["nope"]}), lambda i: i.route(),
    ),
    "a rule that names a missing DAG": case(
        "routing", "dag: no_such_dag", "fail", "Correct the routing table",
        lambda i: i.route(table_with_rules({"name": "t", "match": {"team": "t"}, "dag": "no_such_dag"})),
        lambda i: i.route(),
    ),
    "a triage channel without the app": case(
        "routing", "triage channel", "fail", "/invite",
        lambda i: i.route(triage={"channel": "#incidents"}), lambda i: i.route(),
    ),
    "a missing triage channel": case(
        "routing", "triage channel", "fail", "/invite",
        lambda i: i.route(triage={"channel": "#nowhere"}),
        lambda i: i.control.add_channel("nowhere", members=["U0WARROOM01"]),
    ),
    "no default responders": case(
        "routing", "responders", "fail", "responders:",
        lambda i: i.route(defaults={"responders": []}), lambda i: i.route(),
    ),
    "responders for critical incidents only": case(
        "routing", "responders", "fail", "responders:",
        lambda i: i.route(table_for_severity("critical")), lambda i: i.route(table_for_severity("medium")),
    ),
    "no drill rule": case(
        "routing", "drill rule", "warn", "drill:true", lambda i: i.route(rules=[]), lambda i: i.route()
    ),
    "a rule that shadows the drill rule": case(
        "routing", "drill rule", "warn", "first of the rules",
        lambda i: i.route(rules=[{"name": "all", "match": {}, "channel_prefix": "x"}, *TABLE["rules"]]),
        lambda i: i.route(),
    ),
    "a team's routing table with an unknown probe": case(
        "routing", "probes (logistics_incident)", "fail", "The probes are",
        add_team_dag(routing=table_with_unknown_probe()),
        add_team_dag(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's routing table with an unknown person": case(
        "routing", "people: @ghosts (logistics_incident)", "fail", "routing table",
        add_team_dag(routing={"defaults": {"responders": ["@ghosts"]}}),
        add_team_dag(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's routing table without responders": case(
        "routing", "responders (logistics_incident)", "fail", "responders:",
        add_team_dag(routing={"defaults": {"channel_prefix": "log"}}),
        add_team_dag(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's missing routing table": case(
        "routing", "table (logistics_incident)", "fail", "routing=",
        add_team_dag(routing="/nowhere/logistics.yaml"),
        add_team_dag(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
}  # fmt: skip
