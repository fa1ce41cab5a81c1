"""The payload that Datadog is told to send: paste it into the webhook's settings."""

from __future__ import annotations

from importlib import resources

SCHEMA = "airflow-incident/1"
"""What the template's payloads call themselves."""


def payload_template() -> str:
    """Return the custom payload for Datadog's webhook integration. It ships with the package.

    It is no JSON until Datadog has put values for its variables: some of them are objects and stand unquoted.
    """
    return resources.files(__package__).joinpath("template.json.txt").read_text(encoding="utf-8")
