"""Where alerts come from: Datadog's keys and webhook, and the webhook in Airflow's API server."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx

from airflow_incident_provider.cli.checks.airflow import REACH_SECONDS, public_url
from airflow_incident_provider.cli.checks.context import CheckContext, NotCheckableError, Result, Results, Subject
from airflow_incident_provider.cli.datadog_api import VARIABLES, WEBHOOKS, DatadogApi, DatadogError
from airflow_incident_provider.cli.setup.datadog import SECRET_VARIABLE, WEBHOOK_NAME, page_url, webhook_settings
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import Authentication

_SETUP_DATADOG = "airflow incident setup datadog --yes"
_DATADOG_STATUS = "See Datadog's status page."


def keys(context: CheckContext, subject: Subject) -> Result:
    """Check that Datadog accepts the keys. Datadog is optional."""
    connection = context.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        return subject.skipped(f"there is no connection {DEFAULT_DATADOG_CONN_ID}; Datadog is optional")
    try:
        api = DatadogApi(connection.extra_dejson)
        api.validate()
    except DatadogError as error:
        return subject.failure(error.message, error.fix or _DATADOG_STATUS)
    return subject.passed(f"accepted by {api.host}")


def webhook(context: CheckContext, subject: Subject) -> Results:
    """Check that Datadog's webhook has the payload of this version, an address it reaches, and its secret."""
    connection = context.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        raise NotCheckableError("there is no Datadog connection")
    try:
        api = DatadogApi(connection.extra_dejson)
        found, variable = api.find(WEBHOOKS, WEBHOOK_NAME), api.find(VARIABLES, SECRET_VARIABLE)
    except DatadogError as error:
        yield subject.failure(error.message, error.fix or _DATADOG_STATUS)
        return
    if found is None:
        yield _missing_webhook(subject)
        return
    url = str(found.get("url") or "")
    wanted = webhook_settings(WEBHOOK_NAME, url)
    if any(found.get(part) != wanted[part] for part in ("payload", "custom_headers")):
        yield subject.warning("its payload or headers are of another version", "Update it:", _SETUP_DATADOG)
    else:
        yield subject.passed(f"{WEBHOOK_NAME} to {url}")
    yield public_url(Subject("webhook URL"), url, "Set [api] base_url, or give --url to setup datadog.")
    if variable is None:
        yield Subject("webhook secret").failure(
            f"Datadog has no custom variable {SECRET_VARIABLE}", "Create it:", _SETUP_DATADOG
        )


def _missing_webhook(subject: Subject) -> Result:
    found = f"Datadog has no webhook {WEBHOOK_NAME}"
    if page_url("") is None:
        fix = f"Set [api] base_url to Airflow's public address, then run {_SETUP_DATADOG}"
        return subject.warning(found, fix)
    return subject.warning(found, "Create it:", _SETUP_DATADOG)


def secret(_: CheckContext, subject: Subject) -> Result:
    """Check that the webhook's secret exists and is long enough."""
    try:
        credentials = Authentication().credentials()
    except RequestError as error:
        return subject.failure(
            error.answer.error,
            f"{error.answer.fix or ''} Without a secret of your own in INCIDENT_WEBHOOK_SECRET, one is generated:",
            "airflow incident setup airflow --yes",
        )
    rotating = "; a previous one is accepted too" if credentials.previous_secret else ""
    return subject.passed(f"set{rotating}")


def reachable(_: CheckContext, subject: Subject) -> Results:
    """Check that the API server serves the webhook, and accepts alerts."""
    url = page_url("/health")
    if url is None:
        raise NotCheckableError("[api] base_url is not set")
    try:
        response = httpx.get(url, timeout=REACH_SECONDS)
    except httpx.HTTPError as error:
        yield subject.failure(
            f"{url} did not answer: {type(error).__name__}",
            "Correct [api] base_url, or start the API server:",
            "airflow api-server",
        )
        return
    health = _health(response)
    if health is None:
        yield subject.failure(
            f"{url} is answered by something else ({response.status_code})",
            "Install this package where the API server runs, and restart it. It then lists incident_webhook:",
            "airflow plugins",
        )
        return
    for failed in (one for one in health["checks"] if not one["ok"]):
        yield subject.failure(
            f"{failed['name']}: {failed['problem']}",
            "The API server reports this: the line of this area or of dag and routing has the fix.",
        )
    if response.status_code == HTTPStatus.OK:
        yield subject.passed(url)


def _health(response: httpx.Response) -> dict[str, Any] | None:
    """Return the webhook's health report; ``None`` if something else answered."""
    try:
        health = response.json()
        return health if isinstance(health["checks"], list) else None
    except (ValueError, KeyError, TypeError):
        return None
