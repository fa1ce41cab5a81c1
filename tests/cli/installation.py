"""A valid installation that tests can break and repair."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox.seed import FULL_SCOPES

from airflow_incident_provider.cli.setup.datadog import SECRET_VARIABLE, WEBHOOK_NAME, webhook_settings

FERNET_KEY = "cGFzc3dvcmQtZm9yLXRlc3RzLW9ubHktMDEyMzQ1Njc="
WEBHOOK_URL = "https://airflow.acme.example/incidents/webhook/datadog"
TABLE: dict[str, Any] = {
    "version": 1,
    "defaults": {"responders": ["dana@acme.example", "@sre-oncall"]},
    "rules": [{"name": "drill", "match": {"tag": "drill:true"}, "channel_prefix": "drill"}],
    "triage": {"channel": "#triage"},
}
TEAM_DAG = """
from airflow_incident_provider.incident_dag import incident_dag

incident_dag({arguments})
"""


@dataclass
class ParsedDags:
    """Track whether the database contains only the shipped DAGs: parsing takes longer than most checks."""

    only_shipped: bool = False


@dataclass(kw_only=True)
class Installation:
    """An installation in the home folder and database of a test."""

    home: Path
    slack: Any
    control: Any
    patch: pytest.MonkeyPatch
    parsed: ParsedDags
    unused_port: int
    run_airflow: Callable[..., int]
    arguments: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    """Docker networks created by fixes."""

    @property
    def dags_folder(self) -> Path:
        return self.home / "dags"

    @property
    def table(self) -> Path:
        return self.home / "routing.yaml"

    def set(self, section: str, **options: str) -> None:
        for name, value in options.items():
            self.patch.setenv(f"AIRFLOW__{section.upper()}__{name.upper()}", value)

    def unset(self, *variables: str) -> None:
        for name in variables:
            self.patch.delenv(name, raising=False)

    def connect(self, conn_id: str, conn_type: str = "generic", **parts: Any) -> None:
        connection = {"conn_type": conn_type, **parts}
        self.patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    def connect_slack(self, conn_id: str = "slack_api_default", token: str | None = None, **extra: Any) -> None:
        connection = {
            "conn_type": "slack",
            "password": self.slack.token if token is None else token,
            "extra": json.dumps({"base_url": self.slack.slack_base_url, **extra}),
        }
        self.patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    def connect_datadog(self, **extra: str) -> None:
        keys = self.slack.workspace.datadog
        values = {"api_key": keys.api_key, "app_key": keys.app_key, "api_host": self.slack.datadog_url, **extra}
        connection = {"conn_type": "datadog", "extra": json.dumps(values)}
        self.patch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps(connection))

    def connect_webhook(self, secret: str = "a-secret-of-the-tests-0123456789", **extra: Any) -> None:
        connection = {"conn_type": "http", "password": secret, "extra": json.dumps(extra)}
        self.patch.setenv("AIRFLOW_CONN_INCIDENT_WEBHOOK", json.dumps(connection))

    def create_datadog_webhook(self) -> None:
        datadog = self.slack.workspace.datadog
        datadog.webhooks[WEBHOOK_NAME] = webhook_settings(WEBHOOK_NAME, WEBHOOK_URL)
        datadog.custom_variables[SECRET_VARIABLE] = {"name": SECRET_VARIABLE, "value": "x", "is_secret": True}

    def route(self, table: dict[str, Any] | str | None = None, **sections: Any) -> None:
        """Write the routing table; text is written unchanged."""
        content = table if isinstance(table, str) else json.dumps({**(table or TABLE), **sections})
        self.table.write_text(content, encoding="utf-8")

    def add_dag(self, dag_id: str, *, parse: bool = True, **arguments: Any) -> Path:
        """Add a team's DAG file."""
        listed = ", ".join([repr(dag_id), *(f"{name}={value!r}" for name, value in arguments.items())])
        return self.write_dag(dag_id, TEAM_DAG.format(arguments=listed), parse=parse)

    def write_dag(self, dag_id: str, text: str, *, parse: bool = True) -> Path:
        """Add a DAG file."""
        path = self.dags_folder / f"{dag_id}.py"
        path.write_text(text, encoding="utf-8")
        if parse:
            self.parse()
            self.change_dag(dag_id, is_paused=False)
        return path

    def parse(self) -> None:
        """Parse the DAG files like a DAG processor."""
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

        bag = DagBag(str(self.dags_folder), bundle_path=self.dags_folder, bundle_name="dags-folder")
        errors = {("dags-folder", Path(name).name): text for name, text in bag.import_errors.items()}
        sync_bag_to_db(bag, "dags-folder", None)
        record_import_errors(errors)
        self.parsed.only_shipped = False

    def change_dag(self, dag_id: str, **values: Any) -> None:
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import update

        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(**values))

    def set_pool(self, name: str, slots: int) -> None:
        from airflow.models.pool import Pool
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(delete(Pool).where(Pool.pool == name))
            session.add(Pool(pool=name, slots=slots, description="", include_deferred=False))

    def heartbeat(self, *kinds: str, ago: timedelta = timedelta()) -> None:
        """Record a heartbeat of Airflow components."""
        from airflow.jobs.job import Job
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            for kind in kinds:
                session.execute(delete(Job).where(Job.job_type == kind))
                job = Job(state="running")
                job.job_type, job.latest_heartbeat = kind, datetime.now(UTC) - ago
                session.add(job)

    def paste(self, command: str) -> None:
        """Run the command of a fix exactly as printed."""
        for part in command.split(" && "):
            self._paste(part)

    def _paste(self, command: str) -> None:
        words = shlex.split(command)
        if words[0] == "airflow":
            assert self.run_airflow(*words[1:]) == 0, command
            if words[1] == "dags":
                self.parsed.only_shipped = False
        else:
            completed = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
            assert completed.returncode == 0, f"{command}: {completed.stderr}"
            if words[:3] == ["docker", "network", "create"]:
                self.networks.append(words[-1])


def record_import_errors(errors: dict[tuple[str, str], str]) -> None:
    """Replace Airflow's record of DAG files that fail to import."""
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(ParseImportError))
        for (bundle, name), text in errors.items():
            session.add(ParseImportError(filename=name, bundle_name=bundle, stacktrace=text))


def scopes_without(scope: str) -> list[str]:
    """Return all scopes except one."""
    return [each for each in FULL_SCOPES.split() if each != scope]
