"""What can be wrong with an installation, which line of ``airflow incident check`` says it, and how it is repaired.

``repair`` is what the words of the fix ask for; where the line has a command, the command is pasted after it.
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

from .installation import FERNET_KEY, TABLE, Installation, record_import_errors, without  # isort: skip

Step = Callable[[Installation], object]


@dataclass(frozen=True)
class Case:
    """One way to break an installation.

    :param fix: a part of the fix that the line has to have.
    :param command: whether the line must have a command that can be pasted.
    :param follow: other lines of the area that may fail for the same reason.
    """

    break_it: Step
    area: str
    check: str
    result: str
    fix: str
    repair: Step = lambda _: None
    command: bool = False
    follow: frozenset[str] = frozenset()


def case(  # noqa: PLR0917 - a table
    area: str, check: str, result: str, fix: str, break_it: Step, repair: Step | None = None,
    *, command: bool = False, follow: tuple[str, ...] = (),
) -> Case:  # fmt: skip
    return Case(break_it, area, check, result, fix, repair or (lambda _: None), command, frozenset(follow))


def setting(section: str, name: str, bad: str, good: str) -> tuple[Step, Step]:
    """Return how a setting is broken, and set right again."""
    return lambda i: i.set(section, **{name: bad}), lambda i: i.set(section, **{name: good})


def fault(error: str, *methods: str) -> Step:
    return lambda i: [i.control.add_fault(Fault(method=method, error=error)) for method in methods]


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def rules(*extra: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {**TABLE, "rules": [*TABLE["rules"], *extra], **sections}


def responders(name: str, **more: Any) -> dict[str, Any]:
    return rules({"name": "r", "match": {"severity": "low"}, "responders": [name], **more})


def by_severity(severity: str) -> dict[str, Any]:
    rule = {"name": "s", "match": {"severity": severity}, "responders": ["dana@acme.example"]}
    return rules(rule, defaults={})


def team(**arguments: Any) -> Step:
    return lambda i: i.add_dag("logistics_incident", **arguments)


def secret_token(i: Installation) -> None:
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


def nightly() -> dict[str, Any]:
    return rules({"name": "n", "match": {"team": "n"}, "dag": "nightly"})


def with_certificate() -> dict[str, Any]:
    target = {"url": "https://partner.acme.example/", "client_certificate": "partner_probe"}
    return rules({"name": "partner", "match": {"service": "partner"}, "targets": [target]})


def reach_task_api(i: Installation) -> None:
    i.set("core", execution_api_server_url=f"{os.environ['AIRFLOW__API__BASE_URL']}/execution/")


def private_table() -> dict[str, Any]:
    return {"defaults": {"responders": ["dana@acme.example"], "probes": ["nope"]}}


def new_file_in_folder(i: Installation) -> None:
    i.add_dag("late_incident", parse=False)


def edit_shipped(i: Installation) -> None:
    path = i.dags_folder / "incident_response.py"
    write(path, path.read_text() + "\n# edited\n")


def remove_shipped(i: Installation) -> None:
    (i.dags_folder / "incident_response.py").unlink()
    i.change_dag("incident_response", is_stale=True)


def reinstalled(i: Installation) -> None:
    """After the file was put back, Airflow parses it at its next look."""
    i.parse()
    i.change_dag("incident_response", is_stale=False, is_paused=False)


def unparsed_shipped(i: Installation) -> None:
    i.change_dag("incident_update", is_stale=True)


def unpaused(i: Installation, dag_id: str) -> None:
    i.change_dag(dag_id, is_paused=False)


CASES: dict[str, Case] = {
    # --- Airflow
    "SQLite": case("airflow", "database", "warn", "PostgreSQL", lambda _: None),
    "no scheduler": case(
        "airflow", "scheduler", "fail", "Start it",
        lambda i: i.beat("SchedulerJob", ago=timedelta(hours=1)), lambda i: i.beat("SchedulerJob"),
    ),
    "no DAG processor": case(
        "airflow", "dag-processor", "fail", "Start it",
        lambda i: i.beat("DagProcessorJob", ago=timedelta(hours=1)), lambda i: i.beat("DagProcessorJob"),
    ),
    "no triggerer": case(
        "airflow", "triggerer", "warn", "room_deadline_seconds = 0",
        lambda i: i.beat("TriggererJob", ago=timedelta(hours=1)), lambda i: i.beat("TriggererJob"),
    ),
    "no triggerer, and no deadline": case(
        "airflow", "triggerer", "warn", "room_deadline_seconds = 0",
        lambda i: i.beat("TriggererJob", ago=timedelta(hours=1)),
        lambda i: i.set("incident", room_deadline_seconds="0"),
    ),
    "a sleepy scheduler": case(
        "airflow", "idle sleep", "warn", "scheduler_idle_sleep_time = 0.05",
        *setting("scheduler", "scheduler_idle_sleep_time", "1", "0.05"),
    ),
    "an unknown executor": case(
        "airflow", "executor", "warn", "LocalExecutor", *setting("core", "executor", "acme.Slow", "LocalExecutor")
    ),
    "too few task slots": case(
        "airflow", "parallelism", "warn", "16", *setting("core", "parallelism", "4", "32")
    ),
    "workers that are spawned": case(
        "airflow", "preload", "warn", "mp_start_method = fork", *setting("core", "mp_start_method", "spawn", "fork")
    ),
    "workers of a fork server": case(
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
    "a base URL that is none": case(
        "airflow", "base URL", "fail", "[api] base_url",
        *setting("api", "base_url", "airflow.acme.example", "https://airflow.acme.example"),
    ),
    "no Fernet key": case(
        "airflow", "Fernet key", "warn", "fernet_key", *setting("core", "fernet_key", "", FERNET_KEY)
    ),
    "a state store elsewhere": case(
        "airflow", "state store", "fail", "[state_store] backend",
        *setting("state_store", "backend", "acme.RedisBackend", "airflow.state.metastore.MetastoreBackend"),
    ),
    "a misspelled setting": case(
        "airflow", "[incident]", "fail", "Did you mean routing_table?",
        lambda i: i.set("incident", routing_tabel="/x"), lambda i: i.unset("AIRFLOW__INCIDENT__ROUTING_TABEL"),
    ),
    "a deadline that is no number": case(
        "airflow", "[incident]", "fail", "a whole number",
        *setting("incident", "room_deadline_seconds", "soon", "60"),
    ),
    "a negative deadline": case(
        "airflow", "[incident]", "fail", "0 for none",
        *setting("incident", "room_deadline_seconds", "-5", "0"),
    ),
    "a resolver that is no address": case(
        "airflow", "[incident]", "fail", "IP addresses", *setting("incident", "docker_dns", "dns.acme", "10.0.0.2")
    ),
    "a directory folder that is a file": case(
        "airflow", "[incident]", "fail", "Name a folder",
        lambda i: (write(i.home / "file", ""), i.set("incident", directory_folder=str(i.home / "file"))),
        lambda i: i.set("incident", directory_folder=str(i.home / "directory")),
    ),
    "a lookup budget that is no number": case(
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
    "a model's connection that does not exist": case(
        "airflow", "[incident]", "fail", "Add the connection",
        lambda i: i.set("incident", ai_conn_id="pydanticai_default"),
        lambda i: i.unset("AIRFLOW__INCIDENT__AI_CONN_ID"),
    ),
    "an engine's connection that does not exist": case(
        "airflow", "[incident]", "fail", "Add the connection",
        lambda i: i.set("incident", docker_conn_id="docker_probes"),
        lambda i: i.connect("docker_probes", conn_type="docker"),
    ),
    "an engine's connection of another type": case(
        "airflow", "[incident]", "fail", "of type docker",
        lambda i: (i.set("incident", docker_conn_id="docker_probes"), i.connect("docker_probes", conn_type="http")),
        lambda i: i.connect("docker_probes", conn_type="docker"),
    ),
    "a proxy of the probes that is no URL": case(
        "airflow", "[incident]", "fail", "http://host:port",
        *setting("incident", "probe_proxy", "proxy.acme.example:3128", "http://proxy.acme.example:3128"),
    ),
    "authorities in a file that is not there": case(
        "airflow", "[incident]", "fail", "PEM",
        lambda i: i.set("incident", probe_ca_file=str(i.home / "ca.pem")),
        lambda i: write(i.home / "ca.pem", "-----BEGIN CERTIFICATE-----\n"),
    ),
    "authorities that are no certificates": case(
        "airflow", "[incident]", "fail", "PEM",
        lambda i: (write(i.home / "ca.der", "0"), i.set("incident", probe_ca_file=str(i.home / "ca.der"))),
        lambda i: write(i.home / "ca.der", "-----BEGIN CERTIFICATE-----\n"),
    ),
    "Datadog's state in a file": case(
        "airflow", "[incident]", "fail", "Name a folder",
        lambda i: (write(i.home / "file", ""), i.set("incident", datadog_state_folder=str(i.home / "file"))),
        lambda i: i.set("incident", datadog_state_folder=str(i.home / "datadog")),
    ),
    "a notifier that does not exist": case(
        "airflow", "[incident]", "fail", "Correct the class",
        *setting("incident", "fallback_notifier", "acme.Pager", NOTIFIER),
    ),
    "arguments of a notifier that are no JSON": case(
        "airflow", "[incident]", "fail", "its arguments",
        lambda i: i.set("incident", fallback_notifier=NOTIFIER, fallback_notifier_arguments="to: x"),
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
    ),
    "arguments that are not the notifier's": case(
        "airflow", "[incident]", "fail", "fallback_notifier_arguments",
        lambda i: i.set("incident", fallback_notifier=NOTIFIER, fallback_notifier_arguments='{"nobody": 1}'),
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
    ),
    "arguments without a notifier": case(
        "airflow", "[incident]", "fail", "Set fallback_notifier too",
        lambda i: i.set("incident", fallback_notifier_arguments="{}"),
        lambda i: i.set("incident", fallback_notifier=NOTIFIER),
    ),
    "tasks do not reach the API server": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url=f"http://127.0.0.1:{i.unused_port}/execution/"),
        reach_task_api,
    ),
    "tasks reach something else": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url=f"{os.environ['AIRFLOW__API__BASE_URL']}/incidents/"),
        reach_task_api,
    ),
    "an address of the tasks' API that is no URL": case(
        "airflow", "tasks' API", "fail", "execution_api_server_url",
        lambda i: i.set("core", execution_api_server_url="airflow.acme.example/execution"), reach_task_api,
    ),
    # --- DAGs and pools
    "no DAGs folder": case(
        "dag", "DAGs folder", "fail", "Create it",
        lambda i: (i.set("core", dags_folder=str(i.home / "nowhere")),
                   i.patch.setattr("airflow.settings.DAGS_FOLDER", str(i.home / "nowhere"))),
        command=True, follow=("incident_response", "incident_update"),
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
    "a DAG file is missing": case(
        "dag", "incident_response", "fail", "Install it", remove_shipped, command=True
    ),
    "a DAG that the table names has no file": case(
        "dag", "ghost_incident", "fail", "incident_dag('ghost_incident')",
        lambda i: i.route(rules({"name": "g", "match": {"team": "ghost"}, "dag": "ghost_incident"})),
        lambda i: i.add_dag("ghost_incident"),
    ),
    "a DAG file that is not parsed yet": case(
        "dag", "incident_update", "fail", "Airflow looks for new files every 300 s",
        unparsed_shipped, command=True,
    ),
    "a team's DAG file that is not parsed yet": case(
        "dag", "unparsed file", "warn", "Parse it now", new_file_in_folder, command=True
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
        "dag", "incident_response.py", "warn", "If you did not edit it", edit_shipped, command=True
    ),
    "a DAG that runs few incidents at once": case(
        "dag", "logistics_incident", "warn", "max_active_runs",
        team(max_active_runs=2), team(max_active_runs=100),
    ),
    "a pool that does not exist": case(
        "pool", "logistics_slack", "fail", "Create it",
        team(slack_pool="logistics_slack"), lambda i: i.connect_slack(), command=True,
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
        lambda i: i.unset("AIRFLOW_CONN_SLACK_API_DEFAULT"), secret_token, command=True,
    ),
    "a team without its Slack connection": case(
        "slack", "token (slack_logistics)", "fail", "SLACK_BOT_TOKEN",
        team(slack_conn_id="slack_logistics"), secret_token, command=True,
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
    "a base URL of Slack that is none": case(
        "slack", "token", "fail", "Correct base_url",
        lambda i: i.connect_slack(base_url="slack.acme.example"), lambda i: i.connect_slack(),
    ),
    "an account that was deactivated": case(
        "slack", "token", "fail", "", fault("account_inactive", "auth.test"), lambda i: i.control.clear_faults()
    ),
    "a token that was revoked": case(
        "slack", "token", "fail", "", fault("token_revoked", "auth.test"), lambda i: i.control.clear_faults()
    ),
    "a token of another type": case(
        "slack", "token", "fail", "",
        fault("not_allowed_token_type", "auth.test"), lambda i: i.control.clear_faults(),
    ),
    "a team's app that may not post": case(
        "slack", "scope chat:write (slack_logistics)", "fail", "OAuth & Permissions",
        lambda i: (
            i.add_dag("logistics_incident", slack_conn_id="slack_logistics"),
            i.connect_slack("slack_logistics", token=i.control.add_token("few", scopes=without("chat:write"))),
        ),
        lambda i: i.connect_slack("slack_logistics"),
    ),
    "an app-level token that Slack refuses": case(
        "slack", "Socket Mode", "fail", "connections:write",
        lambda i: i.connect_slack(app_token="xapp-wrong", signing_secret=SIGNING_SECRET),
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET),
    ),
    "a bot token in place of the app-level token": case(
        "slack", "Socket Mode", "fail", "connections:write",
        lambda i: i.connect_slack(app_token="xoxb-wrong", signing_secret=SIGNING_SECRET),
        lambda i: i.connect_slack(),
    ),
    "an app-level token without a signing secret": case(
        "slack", "Socket Mode", "fail", "signing_secret",
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN),
        lambda i: i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET),
    ),
    "Slack opens no connection now": case(
        "slack", "Socket Mode", "warn", "what else calls Slack",
        lambda i: (fault("ratelimited", "apps.connections.open")(i),
                   i.connect_slack(app_token=APP_LEVEL_TOKEN, signing_secret=SIGNING_SECRET)),
    ),
    "Slack is unreachable": case(
        "slack", "token", "fail", "network",
        lambda i: i.connect_slack(base_url=f"http://127.0.0.1:{i.unused_port}/api/"), lambda i: i.connect_slack(),
    ),
    "a scope that rooms need": case(
        "slack", "scope chat:write", "fail", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=without("chat:write"))),
        lambda i: i.connect_slack(),
    ),
    "a scope that a comfort needs": case(
        "slack", "scope pins:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=without("pins:write"))),
        lambda i: i.connect_slack(),
    ),
    "a scope that a postmortem's canvas needs": case(
        "slack", "scope canvases:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=without("canvases:write"))),
        lambda i: i.connect_slack(),
    ),
    "a scope that the metric's picture needs": case(
        "slack", "scope files:write", "warn", "OAuth & Permissions",
        lambda i: i.connect_slack(token=i.control.add_token("few", scopes=without("files:write"))),
        lambda i: i.connect_slack(),
    ),
    "apps may not create channels": case(
        "slack", "rooms", "fail", "administrator",
        lambda i: (fault("restricted_action", "conversations.create")(i), i.arguments.append("--write")),
        lambda i: i.control.clear_faults(),
    ),
    "a clock that is wrong": case(
        "clock", "clock", "fail", "time service",
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) + timedelta(minutes=5)),
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC)),
    ),
    "a clock that drifts": case(
        "clock", "clock", "warn", "time service",
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC) - timedelta(seconds=40)),
        lambda i: i.patch.setattr(CheckContext, "now", lambda _: datetime.now(UTC)),
    ),
    # --- Datadog and the webhook
    "a wrong Datadog key": case(
        "datadog", "keys", "fail", "Correct api_key",
        lambda i: i.connect_datadog(api_key="wrong"), lambda i: i.connect_datadog(), follow=("webhook",),
    ),
    "a wrong application key": case(
        "datadog", "webhook", "fail", "app_key",
        lambda i: i.connect_datadog(app_key="wrong"), lambda i: i.connect_datadog(),
    ),
    "a Datadog site without a scheme": case(
        "datadog", "keys", "fail", "Correct api_host",
        lambda i: i.connect_datadog(api_host="api.datadoghq.eu"), lambda i: i.connect_datadog(),
        follow=("webhook",),
    ),
    "Datadog is unreachable": case(
        "datadog", "keys", "fail", "Correct api_host",
        lambda i: i.connect_datadog(api_host=f"http://127.0.0.1:{i.unused_port}"), lambda i: i.connect_datadog(),
        follow=("webhook",),
    ),
    "something else answers as Datadog": case(
        "datadog", "keys", "fail", "api_host",
        lambda i: i.connect_datadog(api_host=f"{os.environ['AIRFLOW__API__BASE_URL']}/nothing"),
        lambda i: i.connect_datadog(), follow=("webhook",),
    ),
    "a Datadog key that no header can hold": case(
        "datadog", "keys", "fail", "Correct api_key",
        lambda i: i.connect_datadog(api_key="ключ"), lambda i: i.connect_datadog(), follow=("webhook",),
    ),
    "no application key": case(
        "datadog", "keys", "fail", "its extra",
        lambda i: i.connect_datadog(app_key=""), lambda i: i.connect_datadog(), follow=("webhook",),
    ),
    "Datadog has no webhook": case(
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
        lambda i: i.unset("AIRFLOW_CONN_INCIDENT_WEBHOOK"), command=True, follow=("reachable",),
    ),
    "a short webhook secret": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook("short"), lambda i: i.connect_webhook(), follow=("reachable",),
    ),
    "a short previous secret": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(previous_secret="old"), lambda i: i.connect_webhook(), follow=("reachable",),
    ),
    "allowed networks that are none": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(allowed_networks=["everywhere"]), lambda i: i.connect_webhook(),
        follow=("reachable",),
    ),
    "one allowed network of two that is none": case(
        "webhook", "secret", "fail", "Correct the connection",
        lambda i: i.connect_webhook(allowed_networks="10.0.0.0/8,nowhere"), lambda i: i.connect_webhook(),
        follow=("reachable",),
    ),
    "no API server": case(
        "webhook", "reachable", "fail", "start the API server",
        lambda i: (i.patch.setenv("WORKING_URL", os.environ["AIRFLOW__API__BASE_URL"]),
                   i.set("api", base_url=f"http://127.0.0.1:{i.unused_port}")),
        lambda i: i.set("api", base_url=os.environ["WORKING_URL"]),
    ),
    "a paused DAG, as the API server reports it": case(
        "webhook", "reachable", "fail", "the line of this area",
        lambda i: i.change_dag("incident_update", is_paused=True),
        lambda i: i.change_dag("incident_update", is_paused=False),
    ),
    # --- Docker
    "no Docker Engine": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", f"unix://{i.home}/none.sock"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "an engine address that is none": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", "nonsense://x"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "a Docker network that does not exist": case(
        "docker", "network", "fail", "docker_network",
        lambda i: i.set("incident", docker_network=f"checked-{i.unused_port}"), command=True,
        follow=("hardened container",),
    ),
    "a network without a way out": case(
        "docker", "hardened container", "fail", "docker_network",
        *setting("incident", "docker_network", "none", "bridge"),
    ),
    "an engine behind SSH that does not answer": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.patch.setenv("DOCKER_HOST", "ssh://nobody@127.0.0.1:1"), lambda i: i.unset("DOCKER_HOST"),
    ),
    "an engine whose TLS files are not there": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: (i.patch.setenv("DOCKER_TLS_VERIFY", "1"), i.patch.setenv("DOCKER_CERT_PATH", str(i.home)),
                   i.patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")),
        lambda i: i.unset("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_HOST"),
    ),
    "an engine's connection that is not there": case(
        "docker", "engine", "fail", "DOCKER_HOST",
        lambda i: i.set("incident", docker_conn_id="docker_probes"),
        lambda i: i.unset("AIRFLOW__INCIDENT__DOCKER_CONN_ID"),
    ),
    "authorities that the probes cannot have": case(
        "docker", "hardened container", "fail", "[incident]",
        lambda i: i.set("incident", probe_ca_file=str(i.home / "none.pem")),
        lambda i: i.unset("AIRFLOW__INCIDENT__PROBE_CA_FILE"),
    ),
    # --- routing
    "no routing table": case(
        "routing", "table", "warn", "[incident] routing_table",
        lambda i: i.unset("AIRFLOW__INCIDENT__ROUTING_TABLE"),
        lambda i: (i.table.unlink(), i.set("incident", routing_table=str(i.table))), command=True,
        follow=("responders",),
    ),
    "a routing table that is not there": case(
        "routing", "table", "fail", "[incident] routing_table",
        lambda i: i.table.unlink(), command=True,
    ),
    "a misspelled key in the table": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route("version: 1\ndefaults: {respondres: [dana@acme.example]}\n"), lambda i: i.route(),
    ),
    "a table that is not YAML": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("rules: [\n"), lambda i: i.route()
    ),
    "a table that is a folder": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.set("incident", routing_table=str(i.home)),
        lambda i: i.set("incident", routing_table=str(i.table)),
    ),
    "a table that is not UTF-8": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.table.write_bytes(b"version: 1 # \xff"), lambda i: i.route(),
    ),
    "a table that is a list": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("- version: 1\n"), lambda i: i.route()
    ),
    "a table of a later version": case(
        "routing", "table", "fail", "Correct", lambda i: i.route("version: 2\n"), lambda i: i.route()
    ),
    "a key that is written twice": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route("version: 1\nrules: []\nrules: []\n"), lambda i: i.route(),
    ),
    "a network that is none": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route(allowed_networks=["10.0.0.0/99"]), lambda i: i.route(),
    ),
    "an announcement channel without the app": case(
        "routing", "announcement channel", "fail", "announce",
        lambda i: i.route(announce="#incidents"), lambda i: i.route(announce="#triage"),
    ),
    "an announcement channel that does not exist": case(
        "routing", "announcement channel", "fail", "/invite",
        lambda i: i.route(announce="#not-there"),
        lambda i: i.control.add_channel("not-there", members=["U0WARROOM01"]),
    ),
    "a client certificate without its connection": case(
        "routing", "client certificate partner_probe", "fail", "private_key",
        lambda i: i.route(with_certificate()),
        lambda i: i.connect("partner_probe", extra=json.dumps({"certificate": "PEM", "private_key": "PEM"})),
    ),
    "a client certificate without its key": case(
        "routing", "client certificate partner_probe", "fail", "private_key",
        lambda i: (i.route(with_certificate()), i.connect("partner_probe", extra=CERTIFICATE)),
        lambda i: i.connect("partner_probe", extra=CERTIFICATE, password="PEM"),
    ),
    "a rule that names the DAG of updates": case(
        "routing", "table", "fail", "Correct",
        lambda i: i.route(rules({"name": "t", "match": {"team": "t"}, "dag": "incident_update"})),
        lambda i: i.route(),
    ),
    "a rule that names a DAG for something else": case(
        "routing", "dag: nightly", "fail", "incident_dag()",
        lambda i: (i.write_dag("nightly", OTHER_DAG), i.route(nightly())),
        lambda i: i.add_dag("nightly"),
    ),
    "a rule that names a DAG without the tag": case(
        "routing", "dag: nightly", "fail", "add the tag",
        lambda i: (i.write_dag("nightly", UNTAGGED_DAG), i.route(nightly())),
        lambda i: i.add_dag("nightly"),
    ),
    "a rule that names a paused DAG": case(
        "routing", "dag: logistics_incident", "fail", "Unpause it",
        lambda i: (i.add_dag("logistics_incident"), i.change_dag("logistics_incident", is_paused=True),
                   i.route(rules({"name": "t", "match": {"team": "t"}, "dag": "logistics_incident"}))),
        command=True,
    ),
    "a group that does not exist": case(
        "routing", "people: @nobody-oncall", "fail", "Correct it in the routing table",
        lambda i: i.route(responders("@nobody-oncall")), lambda i: i.route(),
    ),
    "a person who has left": case(
        "routing", "people: dave@acme.example", "fail", "Correct it in the routing table",
        lambda i: i.route(responders("dave@acme.example")), lambda i: i.route(),
    ),
    "a misspelled name": case(
        "routing", "people: jon smiht", "fail", "candidates: Jon Smith",
        lambda i: i.route(responders("jon smiht")), lambda i: i.route(),
    ),
    "a name that two people have": case(
        "routing", "people: Chris", "fail", "Use the e-mail address",
        lambda i: i.route(responders("Chris")), lambda i: i.route(),
    ),
    "a name for a private room": case(
        "routing", "people: Alice Ng", "fail", "routing table",
        lambda i: i.route(responders("Alice Ng", private=True)), lambda i: i.route(),
    ),
    "an unknown probe": case(
        "routing", "probes", "fail", "The probes are",
        lambda i: i.route(defaults={"responders": ["dana@acme.example"], "probes": ["nope"]}), lambda i: i.route(),
    ),
    "a DAG of a team that does not exist": case(
        "routing", "dag: no_such_dag", "fail", "Correct the routing table",
        lambda i: i.route(rules({"name": "t", "match": {"team": "t"}, "dag": "no_such_dag"})), lambda i: i.route(),
    ),
    "a triage channel without the app": case(
        "routing", "triage channel", "fail", "/invite",
        lambda i: i.route(triage={"channel": "#incidents"}), lambda i: i.route(),
    ),
    "a triage channel that does not exist": case(
        "routing", "triage channel", "fail", "/invite",
        lambda i: i.route(triage={"channel": "#nowhere"}),
        lambda i: i.control.add_channel("nowhere", members=["U0WARROOM01"]),
    ),
    "nobody is invited by default": case(
        "routing", "responders", "fail", "responders:",
        lambda i: i.route(defaults={"responders": []}), lambda i: i.route(),
    ),
    "only critical incidents invite somebody": case(
        "routing", "responders", "fail", "responders:",
        lambda i: i.route(by_severity("critical")), lambda i: i.route(by_severity("medium")),
    ),
    "no rule for drills": case(
        "routing", "drill rule", "warn", "drill:true", lambda i: i.route(rules=[]), lambda i: i.route()
    ),
    "a rule that hides the one for drills": case(
        "routing", "drill rule", "warn", "first of the rules",
        lambda i: i.route(rules=[{"name": "all", "match": {}, "channel_prefix": "x"}, *TABLE["rules"]]),
        lambda i: i.route(),
    ),
    "a team's table with an unknown probe": case(
        "routing", "probes (logistics_incident)", "fail", "The probes are",
        team(routing=private_table()),
        team(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's table with an unknown person": case(
        "routing", "people: @ghosts (logistics_incident)", "fail", "routing table",
        team(routing={"defaults": {"responders": ["@ghosts"]}}),
        team(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's table that invites nobody": case(
        "routing", "responders (logistics_incident)", "fail", "responders:",
        team(routing={"defaults": {"channel_prefix": "log"}}),
        team(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
    "a team's table in a file that is not there": case(
        "routing", "table (logistics_incident)", "fail", "routing=",
        team(routing="/nowhere/logistics.yaml"), team(routing={"defaults": {"responders": ["dana@acme.example"]}}),
    ),
}  # fmt: skip
