"""Names that several packages share, and the settings of ``[incident]``: each is written down once, here.

Importing this module is cheap. Airflow is imported when a setting is read, so that the domain packages may use the
names.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

SECTION = "incident"
"""The section of ``airflow.cfg``."""

INCIDENT_TAG = "incident"
"""The tag of an incident DAG: its events are emitted, and its runs are shown on the incidents page."""

DRILL_TAG = "drill:true"
"""The tag of an alert that is an exercise."""

DEFAULT_SLACK_CONN_ID = "slack_api_default"
DEFAULT_DATADOG_CONN_ID = "datadog_default"
DEFAULT_WEBHOOK_CONN_ID = "incident_webhook"

DEFAULT_ROOM_DEADLINE_SECONDS = 60
DEFAULT_LOOKUP_BUDGET_SECONDS = 3.0
DEFAULT_AI_COST_LIMIT = "0.05"


class DagId(StrEnum):
    """The DAGs that ship with the package."""

    INCIDENT_RESPONSE = "incident_response"
    INCIDENT_UPDATE = "incident_update"
    SLACK_DIRECTORY_REFRESH = "slack_directory_refresh"


class TaskId(StrEnum):
    """The tasks of ``incident_response``, in the order of a run, and those of ``incident_update``."""

    PARSE_INCIDENT = "parse_incident_event"
    SETUP_SLACK = "setup_slack_integration"
    RESOLVE_USERS = "resolve_slack_users"
    CREATE_WAR_ROOM = "create_war_room"
    COLLECT_EVIDENCE = "collect_evidence"
    PLAN_INVESTIGATION = "plan_investigation"
    INVESTIGATE = "investigate"
    POST_UPDATES = "post_investigation_updates"
    FINAL_SUMMARY = "final_summary"
    WRITE_AI_SUMMARY = "write_ai_summary"

    SELECT_DUE_TASKS = "select_due_tasks"
    POST_UPDATE = "post_incident_update"
    POST_REMINDERS = "post_reminders"
    PLAN_RECHECK = "plan_recheck"
    RECOVER_INCIDENT = "recover_incident"
    RESOLVE_INCIDENT = "resolve_incident"
    ARCHIVE_WAR_ROOM = "archive_war_room"
    SCHEDULE_NEXT_CHECK = "schedule_next_check"


STEPS = (
    TaskId.PARSE_INCIDENT,
    TaskId.SETUP_SLACK,
    TaskId.RESOLVE_USERS,
    TaskId.CREATE_WAR_ROOM,
    TaskId.INVESTIGATE,
    TaskId.POST_UPDATES,
    TaskId.FINAL_SUMMARY,
)
"""The seven steps of ``incident_response``, in their order."""


class ConfKey(StrEnum):
    """The keys of a run's conf that this package writes or reads besides the fields of the incident."""

    ASSIGNMENT = "lifecycle"
    """What the webhook decided (:class:`~airflow_incident_provider.lifecycle.records.Assignment`)."""

    INCIDENT_KEY = "incident_key"
    """The incident that a run of ``incident_update`` is about."""

    CLOSE_REQUEST = "close_request"
    """What ``airflow incident resolve`` and ``archive`` request."""

    CHECK_REQUEST = "check_request"
    """Whether a person requested that the probes run again."""

    FIRST_RUN = "first_run"
    """The run that opens the incident's room, for an incident that the registry does not know."""

    ROOM_ATTEMPT = "room_attempt"
    """How often the room could not be opened or completed."""

    CHECKED_BY = "checked_by"
    """The run that ran the probes after the recovery."""

    DATADOG = "datadog"
    """A Datadog payload."""

    DRY_RUN = "dry_run"
    """Whether nothing is posted to Slack."""


class XComKey(StrEnum):
    """The XCom keys besides ``return_value``."""

    PROBLEM = "problem"
    """Why a step failed, for the summary."""

    ROOM = "room"
    """The room that a run of ``incident_update`` opened, because the first run could not."""


class Settings:
    """The settings of ``[incident]``; each is read from Airflow's configuration when it is accessed."""

    @property
    def routing_table(self) -> str | None:
        """The path of the routing table."""
        return self._text("routing_table") or None

    @property
    def docker_network(self) -> str:
        """The Docker network of the probes' containers."""
        return self._text("docker_network", "bridge")

    @property
    def docker_dns(self) -> tuple[str, ...]:
        """The resolvers of the probes' containers."""
        return tuple(address.strip() for address in self._text("docker_dns").split(",") if address.strip())

    @property
    def docker_conn_id(self) -> str | None:
        """The Airflow connection of the Docker Engine and registry."""
        return self._text("docker_conn_id") or None

    @property
    def docker_image_mirror(self) -> str:
        """The prefix of images that name no registry."""
        return self._text("docker_image_mirror")

    @property
    def probe_proxy(self) -> str:
        """The HTTP proxy through which probes reach targets outside the network."""
        return self._text("probe_proxy")

    @property
    def probe_no_proxy(self) -> tuple[str, ...]:
        """The domains and networks that probes reach without the proxy."""
        return tuple(part.strip() for part in self._text("probe_no_proxy").split(",") if part.strip())

    @property
    def probe_ca_file(self) -> str | None:
        """The path of certificates of authorities that probes trust besides the usual ones."""
        return self._text("probe_ca_file") or None

    @property
    def directory_folder(self) -> Path:
        """The folder of the cached Slack member directory."""
        home = os.environ.get("AIRFLOW_HOME", "~/airflow")
        return Path(self._text("directory_folder", f"{home}/incident_directory")).expanduser()

    @property
    def state_folder(self) -> Path:
        """The folder of copies that outlive a process, such as the last valid routing table."""
        return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "incident_state"

    @property
    def datadog_state_folder(self) -> str | None:
        """The folder in which tasks of one machine share Datadog's budgets and answers."""
        return self._text("datadog_state_folder") or None

    @property
    def fallback_notifier(self) -> str | None:
        """The class of the Airflow notifier for incidents whose room cannot be opened."""
        return self._text("fallback_notifier") or None

    @property
    def fallback_notifier_arguments(self) -> str:
        """Its arguments, as a JSON object."""
        return self._text("fallback_notifier_arguments")

    @property
    def ai_conn_id(self) -> str | None:
        """The Airflow connection of the language model that writes a second summary; without one, none does."""
        return self._text("ai_conn_id") or None

    @property
    def ai_cost_limit(self) -> str:
        """What one such summary may cost, in US dollars."""
        return self._text("ai_cost_limit", DEFAULT_AI_COST_LIMIT)

    @property
    def slack_pool(self) -> str:
        """The Airflow pool of the tasks that call Slack."""
        return self._text("slack_pool", "default_pool")

    @property
    def lookup_budget_seconds(self) -> float:
        """Seconds after the alert in which people are looked up before the room opens without the others."""
        from airflow.sdk import conf

        return max(0.0, conf.getfloat(SECTION, "lookup_budget_seconds", fallback=DEFAULT_LOOKUP_BUDGET_SECONDS))

    @property
    def room_deadline_seconds(self) -> int | None:
        """Seconds from the alert to the room that are promised; ``None`` if nothing is."""
        from airflow.sdk import conf

        seconds = conf.getint(SECTION, "room_deadline_seconds", fallback=DEFAULT_ROOM_DEADLINE_SECONDS)
        return seconds if seconds > 0 else None

    def _text(self, option: str, default: str = "") -> str:
        from airflow.sdk import conf

        return conf.get(SECTION, option, fallback=default) or default


_settings = Settings()


def settings() -> Settings:
    """Return the settings of ``[incident]``."""
    return _settings


def airflow_base_url() -> str | None:
    """Return ``[api] base_url`` without a trailing slash, if it is a web address."""
    from airflow.sdk import conf

    base = conf.get("api", "base_url", fallback="") or ""
    return base.rstrip("/") if base.startswith(("http://", "https://")) else None


def run_url(dag_id: str, run_id: str, *, base_url: str | None = None) -> str | None:
    """Return the address of a run in Airflow's UI.

    :param base_url: Airflow's address; default: ``[api] base_url``.
    :returns: the address, or ``None`` if Airflow does not know its own.
    """
    base = base_url.rstrip("/") if base_url is not None else airflow_base_url()
    return None if base is None else f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
