"""Where alerts come from: Datadog's keys and webhook, and the webhook in Airflow's API server."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx

from airflow_incident_provider.cli.checks.airflow import REACH_SECONDS, public_url
from airflow_incident_provider.cli.checks.context import CheckContext
from airflow_incident_provider.cli.checks.result import (
    NotCheckableError,
    Results,
    failure,
    passed,
    skipped,
    warning,
)
from airflow_incident_provider.cli.datadog_api import DatadogApi, DatadogError
from airflow_incident_provider.cli.setup.datadog import (
    SECRET_VARIABLE,
    WEBHOOK_NAME,
    page_url,
    webhook_settings,
)
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import Authentication

_SETUP_DATADOG = "airflow incident setup datadog --yes"
_DATADOG_STATUS = "See Datadog's status page."


def keys(context: CheckContext) -> Results:
    """Check that Datadog accepts the keys. Datadog is optional."""
    connection = context.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        yield skipped("keys", f"there is no connection {DEFAULT_DATADOG_CONN_ID}; Datadog is optional")
        return
    try:
        api = DatadogApi.from_extra(connection.extra_dejson)
        api.validate()
    except DatadogError as error:
        yield failure("keys", error.message, error.fix or _DATADOG_STATUS)
        return
    yield passed("keys", f"accepted by {api.host}")


def webhook(context: CheckContext) -> Results:
    """Check that Datadog's webhook has the payload of this version, an address it reaches, and its secret."""
    connection = context.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        raise NotCheckableError("there is no Datadog connection")
    try:
        api = DatadogApi.from_extra(connection.extra_dejson)
        found, variable = api.webhook(WEBHOOK_NAME), api.variable(SECRET_VARIABLE)
    except DatadogError as error:
        yield failure("webhook", error.message, error.fix or _DATADOG_STATUS)
        return
    if found is None:
        found_text = f"Datadog has no webhook {WEBHOOK_NAME}"
        if page_url("") is None:
            fix = f"Set [api] base_url to Airflow's public address, then run {_SETUP_DATADOG}"
            yield warning("webhook", found_text, fix)
        else:
            yield warning("webhook", found_text, "Create it:", _SETUP_DATADOG)
        return
    wanted = webhook_settings(WEBHOOK_NAME, str(found.get("url")))
    if any(found.get(part) != wanted[part] for part in ("payload", "custom_headers")):
        yield warning("webhook", "its payload or headers are of another version", "Update it:", _SETUP_DATADOG)
    else:
        yield passed("webhook", f"{WEBHOOK_NAME} to {found.get('url')}")
    yield public_url(
        "webhook URL", str(found.get("url") or ""), "Set [api] base_url, or give --url to setup datadog."
    )
    if variable is None:
        yield failure(
            "webhook secret", f"Datadog has no custom variable {SECRET_VARIABLE}", "Create it:", _SETUP_DATADOG
        )


def secret(_: CheckContext) -> Results:
    """Check that the webhook's secret exists and is long enough."""
    try:
        credentials = Authentication().credentials()
    except RequestError as error:
        yield failure(
            "secret",
            error.answer.error,
            f"{error.answer.fix or ''} Without a secret of your own in INCIDENT_WEBHOOK_SECRET, one is generated:",
            "airflow incident setup airflow --yes",
        )
        return
    rotating = "; a previous one is accepted too" if credentials.previous_secret else ""
    yield passed("secret", f"set{rotating}")


def reachable(_: CheckContext) -> Results:
    """Check that the API server serves the webhook, and accepts alerts."""
    url = page_url("/health")
    if url is None:
        raise NotCheckableError("[api] base_url is not set")
    try:
        response = httpx.get(url, timeout=REACH_SECONDS)
    except httpx.HTTPError as error:
        yield failure(
            "reachable", f"{url} did not answer: {type(error).__name__}",
            "Correct [api] base_url, or start the API server:", "airflow api-server",
        )  # fmt: skip
        return
    health = _health(response)
    if health is None:
        yield failure(
            "reachable", f"{url} is answered by something else ({response.status_code})",
            "Install this package where the API server runs, and restart it. It then lists incident_webhook:",
            "airflow plugins",
        )  # fmt: skip
        return
    for failed in (one for one in health["checks"] if not one["ok"]):
        yield failure(
            "reachable", f"{failed['name']}: {failed['problem']}",
            "The API server reports this: the line of this area or of dag and routing has the fix.",
        )  # fmt: skip
    if response.status_code == HTTPStatus.OK:
        yield passed("reachable", url)


def _health(response: httpx.Response) -> dict[str, Any] | None:
    """Return the webhook's health report; ``None`` if something else answered."""
    try:
        health = response.json()
        return health if isinstance(health["checks"], list) else None
    except (ValueError, KeyError, TypeError):
        return None
