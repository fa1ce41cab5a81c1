"""Datadog's webhook to Airflow: where it leads, and what it carries."""

from __future__ import annotations

import json
from typing import Any

from airflow_incident_provider.config import airflow_base_url
from airflow_incident_provider.intake import payload_template
from airflow_incident_provider.plugins.api.plugin import URL_PREFIX
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER

WEBHOOK_NAME = "airflow-incident"
SECRET_VARIABLE = "AIRFLOW_INCIDENT_SECRET"  # noqa: S105 - the name of Datadog's hidden variable


def served_url(path: str) -> str | None:
    """Return the address of a page of the webhook's, by ``[api] base_url``, if that is set."""
    base = airflow_base_url()
    return f"{base}{URL_PREFIX}{path}" if base is not None else None


def webhook_settings(name: str, url: str) -> dict[str, Any]:
    """Return the webhook as Datadog's API wants it; the secret is named, not told."""
    return {
        "name": name,
        "url": url,
        "encode_as": "json",
        "custom_headers": json.dumps({SECRET_HEADER: f"${SECRET_VARIABLE}"}),
        "payload": payload_template(),
    }
