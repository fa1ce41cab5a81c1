"""What Airflow discovers about this package, held against its ``provider_info.schema.json``."""

from __future__ import annotations

from typing import Any

from airflow_incident_provider import __version__
from airflow_incident_provider.operators import MODULES

_INTEGRATION = "Incident response"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description: operators, hooks, links, commands and settings."""
    return {
        "package-name": "airflow-incident-provider",
        "name": "Incident",
        "description": "From an alert to a staffed Slack war room with evidence in it.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://pypi.org/project/airflow-incident-provider/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"airflow_incident_provider.operators.{module}" for module in dict.fromkeys(MODULES.values())
                ],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_incident_provider.slack.hook"]}],
        "notifications": [
            "airflow_incident_provider.notifications.war_room.WarRoomNotifier",
            "airflow_incident_provider.notifications.no_room.NoRoomNotifier",
        ],
        "extra-links": [
            f"airflow_incident_provider.operators.links.{link}"
            for link in ("MonitorLink", "DashboardLink", "WarRoomLink")
        ],
        "cli": ["airflow_incident_provider.cli.commands.get_cli_commands"],
        "config": {"incident": {"description": "Incident response: war rooms and probes.", "options": _options()}},
    }


def _options() -> dict[str, Any]:
    """Return the settings of the section ``[incident]``."""
    return {
        "routing_table": _option(
            "Path of the routing table (YAML): who comes, into which room, what is looked at.",
            "/opt/airflow/config/incident_routing.yaml",
        ),
        "docker_network": _option("The Docker network that probes run in.", "incident_probes", default="bridge"),
        "docker_dns": _option("Resolvers for the probes' containers, separated by commas.", "10.0.0.2"),
        "docker_conn_id": _option(
            "The Airflow connection of type docker that leads to the engine and the registry of the probes: extras "
            "engine_url, engine_ca_cert, engine_client_cert and engine_client_key; host, login and password of a "
            "private registry. Without it, Docker's environment variables count.",
            "docker_probes",
        ),
        "docker_image_mirror": _option(
            "The prefix of images that name no registry, for installations that pull from a mirror.",
            "registry.acme.example/dockerhub",
        ),
        "probe_proxy": _option(
            "The HTTP proxy through which probes reach web targets of the routing table outside the network.",
            "http://proxy.acme.example:3128",
        ),
        "probe_no_proxy": _option(
            "Domains and networks that probes reach without the proxy, separated by commas.",
            "internal.acme.example,10.0.0.0/8",
        ),
        "probe_ca_file": _option(
            "Path, on the workers, of certificates (PEM) of authorities that probes trust besides the usual ones.",
            "/etc/ssl/certs/acme-ca.pem",
        ),
        "directory_folder": _option(
            "Where the cached directory of Slack members lies; it holds names, so keep it private. "
            "Default: incident_directory in AIRFLOW_HOME.",
            "/opt/airflow/incident_directory",
        ),
        "lookup_budget_seconds": _option(
            "Seconds after the alert in which people are looked up in Slack. Then the room opens with those who "
            "were found; the others are looked up, invited and reported once it is open.",
            "5",
            default="3",
            kind="float",
        ),
        "datadog_state_folder": _option(
            "Where the tasks of one machine share Datadog's rate budgets, and its answers for a minute; answers "
            "can hold log lines, so keep it private. Default: a folder of this user in the temporary directory.",
            "/opt/airflow/datadog_state",
        ),
        "ai_conn_id": _option(
            "The Airflow connection (a type of apache-airflow-providers-common-ai, extra ai of this package) of a "
            "language model that writes a second summary, after the usual one. Without it nothing is imported and "
            "the DAG has no task for it.",
            "pydanticai_default",
        ),
        "ai_cost_limit": _option(
            "What one summary of the language model may cost, in US dollars, where the price of the model is "
            "known; the limits on requests and tokens always apply.",
            "0.10",
            default="0.05",
        ),
        "fallback_notifier": _option(
            "The class of an Airflow notifier that notifies the responders when a room cannot be opened.",
            "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
        ),
        "fallback_notifier_arguments": _option(
            "The arguments of the fallback notifier, as a JSON object. Those that it renders with Jinja may use "
            "incident, no_room, responders, responder_emails and incident_url.",
            '{"to": "{{ responder_emails | join(\',\') }}", "subject": "{{ incident.title }}: no room"}',
        ),
        "slack_pool": _option(
            "The Airflow pool of the steps that call Slack: it bounds how many do so at once, over all runs. "
            "It has to exist: tasks of a pool that does not are never run.",
            "slack",
            default="default_pool",
        ),
        "room_deadline_seconds": _option(
            "The promise: seconds from the alert to the room. A room that comes later says so, and a run that is "
            "still under way by then misses Airflow's deadline; the triggerer's log names such rooms. "
            "0 for no promise.",
            "120",
            default="60",
            kind="integer",
        ),
    }


def _option(description: str, example: str, *, default: str | None = None, kind: str = "string") -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": default,
    }
