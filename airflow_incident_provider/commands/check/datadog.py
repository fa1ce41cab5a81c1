"""Datadog: the keys, and its webhook to Airflow."""

from __future__ import annotations

from airflow_incident_provider.commands.check.results import NotCheckableError, Results, doubtful, good, wrong
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.commands.datadog_api import DatadogApi, DatadogError
from airflow_incident_provider.commands.webhooks import WEBHOOK_NAME, webhook_settings
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID

_SET_UP = "Run: airflow incident setup datadog"


def keys(site: Site) -> Results:
    """Check that Datadog accepts the API key."""
    connection = site.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        yield doubtful(
            "keys",
            f"there is no connection {DEFAULT_DATADOG_CONN_ID}: Datadog is not told of incidents",
            "Run: airflow incident setup airflow --yes, with DD_API_KEY and DD_APP_KEY in the environment.",
        )
        return
    try:
        api = DatadogApi.from_extra(connection.extra_dejson)
        api.validate()
    except DatadogError as error:
        yield wrong("keys", error.message, error.fix or "See Datadog's status page.")
        return
    yield good("keys", f"accepted by {api.host}")


def webhook(site: Site) -> Results:
    """Check that Datadog has the webhook, with the payload that this version reads. Needs the application key."""
    connection = site.connection(DEFAULT_DATADOG_CONN_ID)
    if connection is None:
        raise NotCheckableError("there is no Datadog connection")
    try:
        found = DatadogApi.from_extra(connection.extra_dejson).webhook(WEBHOOK_NAME)
    except DatadogError as error:
        yield wrong("webhook", error.message, error.fix or "See Datadog's status page.")
        return
    if found is None:
        yield doubtful("webhook", f"Datadog has no webhook {WEBHOOK_NAME}", _SET_UP)
        return
    wanted = webhook_settings(WEBHOOK_NAME, str(found.get("url")))
    if any(found.get(part) != wanted[part] for part in ("payload", "custom_headers")):
        yield doubtful("webhook", "its payload or headers are not those of this version", _SET_UP)
    else:
        yield good("webhook", f"{WEBHOOK_NAME} to {found.get('url')}")
